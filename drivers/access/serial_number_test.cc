// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/serial_number.h"

#include <gmock/gmock.h>

#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "drivers/access/fake/fake_sysfs.h"
#include "drivers/access/result_matchers.h"

namespace carryover {
namespace {

constexpr PciAddress kCard{.domain = 0, .bus = 1, .device = 0, .function = 0};
constexpr std::size_t kPcie = 4096;

class SerialNumberTest : public testing::Test {
 protected:
  SerialNumberTest() { tree_.AddFunction(kCard, {.vendor = 0x8086, .device = 0x10c9}, 1); }

  void Put(std::size_t offset, std::uint32_t dword) {
    for (std::size_t byte = 0; byte < 4; ++byte) {
      configuration_[offset + byte] = static_cast<char>(dword >> (8 * byte));
    }
  }

  // An extended capability of this id, the next one at `next`.
  void PutCapability(std::size_t offset, std::uint16_t id, std::uint32_t next) {
    Put(offset, next << 20 | 1U << 16 | id);
  }

  Result<std::string> Read(std::size_t size = kPcie) {
    const auto path = tree_.sysfs().FunctionPath(kCard) / "config";
    std::ofstream(path, std::ios::binary).write(configuration_.data(), static_cast<long>(size));
    return SerialNumber(tree_.sysfs(), kCard);
  }

  FakeSysfs tree_;
  std::vector<char> configuration_ = std::vector<char>(kPcie);
};

TEST_F(SerialNumberTest, IsReadAsLspciPrintsIt) {
  PutCapability(0x100, 0x0001, 0x140);  // advanced error reporting
  PutCapability(0x140, 0x0003, 0x150);
  Put(0x144, 0xff8a3c10);
  Put(0x148, 0x001b21ff);
  EXPECT_EQ(Read(), "00-1b-21-ff-ff-8a-3c-10");
}

TEST_F(SerialNumberTest, ThereIsNone) {
  EXPECT_EQ(Read(), "") << "no extended capabilities";
  PutCapability(0x100, 0x0001, 0);
  EXPECT_EQ(Read(), "");
  EXPECT_EQ(Read(256), "") << "a conventional function";
}

TEST_F(SerialNumberTest, AListThatGoesInACircleEnds) {
  PutCapability(0x100, 0x0001, 0x140);
  PutCapability(0x140, 0x0002, 0x100);
  EXPECT_EQ(Read(), "");
}

TEST_F(SerialNumberTest, ACapabilityThatEndsBeyondTheSpaceHasNone) {
  PutCapability(0x100, 0x0001, 0xff8);
  PutCapability(0xff8, 0x0003, 0);
  EXPECT_EQ(Read(), "");
}

TEST_F(SerialNumberTest, ADeviceThatDoesNotAnswerHasNone) {
  configuration_.assign(kPcie, '\xff');
  EXPECT_EQ(Read(), "");
}

TEST_F(SerialNumberTest, TheHeaderAloneDoesNotTell) { EXPECT_THAT(Read(64), FailsWith(EACCES)); }

TEST_F(SerialNumberTest, NoFunction) {
  EXPECT_THAT(SerialNumber(tree_.sysfs(), {.domain = 0, .bus = 9, .device = 0, .function = 0}),
              FailsWith(ENOENT));
}

}  // namespace
}  // namespace carryover
