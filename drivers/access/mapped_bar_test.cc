// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/mapped_bar.h"

#include <gtest/gtest.h>

#include <cstring>

#include "drivers/access/dma_memory.h"

namespace carryover {
namespace {

// A memfd stands for the device file: the mapping is what is tested.
class MappedBarTest : public testing::Test {
 protected:
  void SetUp() override {
    auto memory = DmaMemory::Create(8192, PageKind::kBase);
    ASSERT_TRUE(memory);
    memory_ = std::make_unique<DmaMemory>(std::move(*memory));
    auto bar = MappedBar::Map(memory_->fd(), 4096, 4096);
    ASSERT_TRUE(bar);
    bar_ = std::move(*bar);
  }

  [[nodiscard]] std::byte At(std::size_t offset) const { return memory_->bytes()[4096 + offset]; }

  std::unique_ptr<DmaMemory> memory_;
  std::unique_ptr<MappedBar> bar_;
};

TEST_F(MappedBarTest, IsLittleEndianInEverySize) {
  bar_->Write32(0x10, 0x44332211);
  EXPECT_EQ(At(0x10), std::byte{0x11});
  EXPECT_EQ(At(0x13), std::byte{0x44});
  EXPECT_EQ(bar_->Read8(0x11), 0x22);
  EXPECT_EQ(bar_->Read16(0x12), 0x4433);
  bar_->Write64(0x18, 0x1122334455667788);
  EXPECT_EQ(bar_->Read32(0x18), 0x55667788);
  EXPECT_EQ(bar_->Read64(0x18), 0x1122334455667788);
  bar_->Write8(0x18, 0);
  bar_->Write16(0x1e, 0xaabb);
  EXPECT_EQ(bar_->Read64(0x18), 0xaabb334455667700);
  EXPECT_EQ(memory_->bytes()[0x10], std::byte{0}) << "the offset in the file counts";
}

TEST_F(MappedBarTest, AbortsOutsideTheBar) {
  EXPECT_EQ(bar_->size(), 4096);
  EXPECT_DEATH((void)bar_->Read32(4096), "MMIO access of 4 bytes at 0x1000");
  EXPECT_DEATH(bar_->Write64(~std::size_t{0} - 7, 0), "MMIO access of 8 bytes");
  EXPECT_DEATH((void)bar_->Read32(2), "MMIO access of 4 bytes at 0x2");
}

// Records the order of accesses.
class RecordingMmio final : public Mmio {
 public:
  std::uint8_t Read8(std::size_t) override { return 0; }
  std::uint16_t Read16(std::size_t) override { return 0; }
  std::uint32_t Read32(std::size_t) override { return 0; }
  std::uint64_t Read64(std::size_t) override { return 0; }
  void Write8(std::size_t, std::uint8_t) override {}
  void Write16(std::size_t, std::uint16_t) override {}
  void Write32(std::size_t offset, std::uint32_t value) override {
    writes.emplace_back(offset, value);
  }
  void Write64(std::size_t, std::uint64_t) override {}
  [[nodiscard]] std::size_t size() const override { return 64; }

  std::vector<std::pair<std::size_t, std::uint32_t>> writes;
};

TEST(MmioTest, WritesHalvesInTheNamedOrder) {
  using Writes = std::vector<std::pair<std::size_t, std::uint32_t>>;
  RecordingMmio low;
  low.Write64LowFirst(8, 0x1111111122222222);
  EXPECT_EQ(low.writes, (Writes{{8, 0x22222222}, {12, 0x11111111}}));
  RecordingMmio high;
  high.Write64HighFirst(8, 0x1111111122222222);
  EXPECT_EQ(high.writes, (Writes{{12, 0x11111111}, {8, 0x22222222}}));
}

using MappedBarDeathTest = MappedBarTest;

TEST_F(MappedBarDeathTest, IsNotThereInAChild) {
  EXPECT_EQ(bar_->Read8(0), 0);
  EXPECT_DEATH((void)bar_->Read8(0), "");
}

}  // namespace
}  // namespace carryover
