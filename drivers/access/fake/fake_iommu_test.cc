// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/fake/fake_iommu.h"

#include <gtest/gtest.h>

#include <array>

#include "drivers/access/dma_memory.h"

namespace carryover {
namespace {

constexpr std::size_t kPage = 4096;
constexpr Iova kIova = 0x100000;

class FakeIommuTest : public testing::Test {
 protected:
  void SetUp() override {
    auto memory = DmaMemory::Create(4 * kPage, PageKind::kBase);
    ASSERT_TRUE(memory);
    memory_ = std::make_unique<DmaMemory>(std::move(*memory));
  }
  int Map(Iova iova, std::size_t page, std::size_t pages, DmaAccess access) {
    const auto mapped = iommu_.Map(iova, memory_->address() + page * kPage, pages * kPage, access);
    return mapped ? 0 : mapped.error().code;
  }

  std::unique_ptr<DmaMemory> memory_;
  FakeIommu iommu_;
};

// Neighbouring IOVAs need not be neighbouring memory.
TEST_F(FakeIommuTest, TransfersAcrossMappings) {
  ASSERT_EQ(Map(kIova, 2, 1, DmaAccess::kReadWrite), 0);
  ASSERT_EQ(Map(kIova + kPage, 0, 1, DmaAccess::kReadWrite), 0);
  constexpr std::array kData{std::byte{1}, std::byte{2}};
  EXPECT_TRUE(iommu_.DeviceWrite(kIova + kPage - 1, kData));
  EXPECT_EQ(memory_->bytes()[3 * kPage - 1], std::byte{1});
  EXPECT_EQ(memory_->bytes()[0], std::byte{2});
  std::array<std::byte, 2> read{};
  EXPECT_TRUE(iommu_.DeviceRead(kIova + kPage - 1, read));
  EXPECT_EQ(read, kData);
  EXPECT_EQ(iommu_.faults(), 0);
}

// A transfer that is partly refused transfers nothing.
TEST_F(FakeIommuTest, RefusesUnmappedAddresses) {
  ASSERT_EQ(Map(kIova, 0, 1, DmaAccess::kReadWrite), 0);
  constexpr std::array kData{std::byte{1}, std::byte{2}};
  EXPECT_FALSE(iommu_.DeviceWrite(kIova + kPage - 1, kData));
  EXPECT_EQ(memory_->bytes()[kPage - 1], std::byte{0});
  EXPECT_FALSE(iommu_.DeviceWrite(kIova - 1, kData));
  EXPECT_EQ(iommu_.faults(), 2);
  ASSERT_TRUE(iommu_.Unmap(kIova, kPage));
  EXPECT_FALSE(iommu_.DeviceWrite(kIova, kData));
  EXPECT_EQ(iommu_.faults(), 3);
}

TEST_F(FakeIommuTest, KeepsAccessRights) {
  ASSERT_EQ(Map(kIova, 0, 1, DmaAccess::kRead), 0);
  ASSERT_EQ(Map(kIova + kPage, 1, 1, DmaAccess::kWrite), 0);
  std::array<std::byte, 1> data{};
  EXPECT_TRUE(iommu_.DeviceRead(kIova, data));
  EXPECT_FALSE(iommu_.DeviceWrite(kIova, data));
  EXPECT_FALSE(iommu_.DeviceRead(kIova + kPage, data));
  EXPECT_TRUE(iommu_.DeviceWrite(kIova + kPage, data));
}

TEST_F(FakeIommuTest, RefusesBadMappings) {
  ASSERT_EQ(Map(kIova, 0, 2, DmaAccess::kReadWrite), 0);
  EXPECT_EQ(Map(kIova + kPage, 2, 1, DmaAccess::kReadWrite), EEXIST);
  EXPECT_EQ(Map(kIova - kPage, 2, 2, DmaAccess::kReadWrite), EEXIST);
  EXPECT_EQ(Map(kIova + 4, 0, 1, DmaAccess::kReadWrite), EINVAL);
  EXPECT_EQ(Map(0xfee00000, 0, 1, DmaAccess::kReadWrite), EINVAL) << "the MSI window";
  EXPECT_EQ(Map(~Iova{0} - (kPage - 1), 0, 1, DmaAccess::kReadWrite), EINVAL);
  EXPECT_EQ(iommu_.Unmap(kIova, kPage).error().code, ENOENT) << "half of a mapping";
}

}  // namespace
}  // namespace carryover
