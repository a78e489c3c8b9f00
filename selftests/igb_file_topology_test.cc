// SPDX-License-Identifier: GPL-2.0-only
// The claim `file`: the incoming kernel finds a preserved device where it was, also where it was
// told to give out bus numbers anew (pci=assign-busses). On the bench, with more bridges above the
// device: ci/bench --reference --lg-env ci/bridges.yaml --carryover-append pci=assign-busses
// Source: drivers/pci/liveupdate.c of the reference kernel (ci/kernel/patches).
#include <gtest/gtest.h>

#include <type_traits>

#include "drivers/access/result_matchers.h"
#include "fixtures/igb/igb_file.h"

namespace carryover {
namespace {

class IgbFileTopology : public IgbFile {};

static_assert(std::has_unique_object_representations_v<PciPath>);

CONTINUITY_TEST(IgbFileTopology, IsAtTheSamePlace, PciPath,
                "The device and the bridges above it have their addresses, bus numbers, ACS "
                "settings and IOMMU group again")
ARM(IgbFileTopology, IsAtTheSamePlace) {
  ASSERT_OK_AND_ASSIGN(record, PathNow());
  ASSERT_NE(record.functions.front().id, 0U);
}
VERIFY(IgbFileTopology, IsAtTheSamePlace) {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kInherited));
  ASSERT_OK_AND_ASSIGN(const PciPath now, PathNow());
  EXPECT_EQ(Differences(record, now), "");
}

}  // namespace
}  // namespace carryover
