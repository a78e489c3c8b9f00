// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/scratch_use.h"

#include <gmock/gmock.h>

#include <fstream>
#include <thread>

#include "drivers/access/fake/fake_sysfs.h"

namespace carryover {
namespace {

using testing::HasSubstr;
using testing::Optional;

constexpr PciAddress kDisk{.bus = 1};

// A disk of 4096 blocks of 512 bytes.
class ScratchUse : public testing::Test {
 protected:
  ScratchUse() {
    tree_.AddFunction(kDisk, {.vendor = 0x1b36, .device = 0x0010});
    std::filesystem::create_directories(Nodes());
    AddDisk("nvme0n1", tree_.AddObject(kDisk, "nvme/nvme0/nvme0n1"), 512);
  }

  [[nodiscard]] static Deadline Now() { return Deadline::After(std::chrono::seconds(0)); }
  [[nodiscard]] std::filesystem::path Nodes() const { return tree_.root() / "nodes"; }
  [[nodiscard]] std::filesystem::path Node() const { return Nodes() / "nvme0n1"; }
  void AddDisk(const std::string& name, const std::filesystem::path& folder, int block_size) {
    const std::string relative = std::filesystem::relative(folder, tree_.root()).string();
    tree_.WriteFile(relative + "/size", "4096\n");
    tree_.WriteFile(relative + "/queue/logical_block_size", std::to_string(block_size));
    tree_.Link("class/block/" + name, folder);
    std::ofstream(Nodes() / name) << std::string(std::size_t{4096} * 512, '\0');
    folder_ = relative;
  }
  void AddPartition(const std::string& name, int start, int size) {
    const std::string partition = folder_ + "/" + name;
    tree_.WriteFile(partition + "/partition", "1");
    tree_.WriteFile(partition + "/start", std::to_string(start));
    tree_.WriteFile(partition + "/size", std::to_string(size));
    tree_.Link("class/block/" + name, tree_.root() / partition);
  }
  void Put(std::streamoff at, std::string_view bytes) {
    std::fstream node(Node(), std::ios::in | std::ios::out | std::ios::binary);
    node.seekp(at);
    node.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
  // An MS-DOS partition table with one entry: type 0x83, blocks 2048 to 3071.
  void PutPartitionTable() {
    using std::string_view_literals::operator""sv;
    Put(446, "\0\0\0\0\x83\0\0\0\0\x08\0\0\0\x04\0\0"sv);
    Put(510, "\x55\xaa"sv);
  }
  [[nodiscard]] std::optional<std::string> Why(std::uint64_t first, std::uint64_t count) {
    return WhyScratchInUse(tree_.sysfs(), kDisk, {.first = first, .count = count}, Now(), Nodes());
  }

  FakeSysfs tree_;
  std::string folder_;
};

TEST_F(ScratchUse, AnEmptyDiskMayBeWritten) {
  EXPECT_EQ(Why(0, 4096), std::nullopt);
  EXPECT_EQ(Why(4095, 1), std::nullopt);
}

TEST_F(ScratchUse, BlocksBeyondTheDiskAreRefused) {
  EXPECT_THAT(Why(4095, 2), Optional(HasSubstr("not on nvme0n1, which has 4096 blocks")));
  EXPECT_THAT(Why(5000, 1), Optional(HasSubstr("not on nvme0n1")));
  EXPECT_THAT(Why(1, ~std::uint64_t{0}), Optional(HasSubstr("not on nvme0n1")));
  EXPECT_THAT(Why(1, 0), Optional(HasSubstr("not on nvme0n1")));
}

TEST_F(ScratchUse, BlocksOfAPartitionAreRefused) {
  PutPartitionTable();
  AddPartition("nvme0n1p1", 2048, 1024);
  EXPECT_EQ(Why(1024, 1024), std::nullopt);
  EXPECT_EQ(Why(3072, 900), std::nullopt);
  for (const auto& [first, count] : {std::pair{2047, 2}, {2048, 1}, {3071, 1}, {1024, 2048}}) {
    EXPECT_THAT(Why(static_cast<std::uint64_t>(first), static_cast<std::uint64_t>(count)),
                Optional(HasSubstr("overlap the partition nvme0n1p1")))
        << first << " " << count;
  }
}

TEST_F(ScratchUse, ThePartitionTableIsRefused) {
  PutPartitionTable();
  AddPartition("nvme0n1p1", 2048, 1024);
  EXPECT_THAT(Why(0, 1), Optional(HasSubstr("partition table")));
  EXPECT_THAT(Why(33, 1), Optional(HasSubstr("partition table")));
  EXPECT_EQ(Why(34, 1), std::nullopt);
  EXPECT_EQ(Why(4061, 1), std::nullopt);
  EXPECT_THAT(Why(4062, 1), Optional(HasSubstr("partition table")));
  EXPECT_THAT(Why(4095, 1), Optional(HasSubstr("partition table")));
}

// A partition whose place cannot be read is in the way.
TEST_F(ScratchUse, APartitionOfUnknownPlaceIsInTheWay) {
  AddPartition("nvme0n1p1", 2048, 1024);
  tree_.WriteFile(folder_ + "/nvme0n1p1/size", "many");
  EXPECT_THAT(Why(100, 1), Optional(HasSubstr("overlap the partition nvme0n1p1")));
}

TEST_F(ScratchUse, ADiskThatHoldsAFileSystemIsRefused) {
  Put(4096 - 10, "SWAPSPACE2");
  Put(1024, {"\1\0\0\0\377\1\0\0", 8});  // version 1, last page
  EXPECT_THAT(Why(3000, 10), Optional(HasSubstr("it holds swap")));
}

// As of a disk that was formatted again and not wiped before.
TEST_F(ScratchUse, ADiskThatHoldsTwoFileSystemsIsRefused) {
  Put(4096 - 10, "SWAPSPACE2");
  Put(1024, {"\1\0\0\0\377\1\0\0", 8});
  Put(65536 + 64, "_BHRfS_M");
  EXPECT_THAT(Why(3000, 10), Optional(HasSubstr("contradict")));
}

TEST_F(ScratchUse, BlocksOfFourKiBAreCountedAsSuch) {
  tree_.WriteFile(folder_ + "/queue/logical_block_size", "4096");
  AddPartition("nvme0n1p1", 2048, 1024);
  EXPECT_EQ(Why(255, 1), std::nullopt);
  EXPECT_THAT(Why(256, 1), Optional(HasSubstr("overlap the partition")));
  EXPECT_THAT(Why(512, 1), Optional(HasSubstr("which has 512 blocks of 4096 bytes")));
  PutPartitionTable();
  EXPECT_THAT(Why(33, 1), Optional(HasSubstr("partition table")));
  EXPECT_EQ(Why(34, 1), std::nullopt);
}

TEST_F(ScratchUse, ADiskThatTheKernelDoesNotHaveIsRefused) {
  EXPECT_THAT(WhyScratchInUse(tree_.sysfs(), {.bus = 2}, {.first = 0, .count = 1}, Now(), Nodes()),
              Optional(HasSubstr("bind it to that driver first")));
}

// As it is while its driver probes.
TEST_F(ScratchUse, WaitsForADiskThatIsNotThereYet) {
  constexpr PciAddress kLate{.bus = 4};
  tree_.AddFunction(kLate, {.vendor = 0x1b36, .device = 0x0010});
  std::thread driver([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    AddDisk("nvme2n1", tree_.AddObject(kLate, "nvme/nvme2/nvme2n1"), 512);
  });
  const auto why = WhyScratchInUse(tree_.sysfs(), kLate, {.first = 5000, .count = 1},
                                   Deadline::After(std::chrono::seconds(20)), Nodes());
  driver.join();
  EXPECT_THAT(why, Optional(HasSubstr("nvme2n1")));
}

TEST_F(ScratchUse, ADiskThatCannotBeReadIsRefused) {
  std::filesystem::remove(Node());
  EXPECT_THAT(Why(100, 1), Optional(HasSubstr("nvme0n1")));
}

// The driver writes to namespace 1, which nvme0n1 need not be.
TEST_F(ScratchUse, NamespaceOneIsMeant) {
  tree_.WriteFile(folder_ + "/nsid", "2\n");
  EXPECT_THAT(Why(0, 1), Optional(HasSubstr("namespace 1")));
  AddDisk("nvme0n2", tree_.AddObject(kDisk, "nvme/nvme0/nvme0n2"), 512);
  tree_.WriteFile(folder_ + "/nsid", "1\n");
  EXPECT_EQ(Why(2048, 1), std::nullopt);
  AddPartition("nvme0n2p1", 2048, 1024);
  EXPECT_THAT(Why(2048, 1), Optional(HasSubstr("overlap the partition nvme0n2p1")));
}

// A path of a multipath disk (nvme1c0n1) is below the function, and has no node.
TEST_F(ScratchUse, AHiddenDiskIsNotMeant) {
  const auto path = tree_.AddObject(kDisk, "nvme/nvme0/nvme0c0n1");
  tree_.WriteFile(std::filesystem::relative(path, tree_.root()).string() + "/hidden", "1\n");
  tree_.Link("class/block/nvme0c0n1", path);
  EXPECT_EQ(Why(0, 1), std::nullopt);
}

TEST_F(ScratchUse, EveryPartitionIsInTheWay) {
  AddPartition("nvme0n1p1", 2048, 512);
  AddPartition("nvme0n1p2", 2560, 512);
  EXPECT_THAT(Why(2048, 1), Optional(HasSubstr("partition nvme0n1p1")));
  EXPECT_THAT(Why(2560, 1), Optional(HasSubstr("partition nvme0n1p2")));
}

TEST_F(ScratchUse, ADiskOfUnknownSizeIsRefused) {
  tree_.WriteFile(folder_ + "/size", "");
  EXPECT_THAT(Why(0, 1), Optional(HasSubstr("does not tell the size of nvme0n1")));
}

// A multipath namespace is below its subsystem.
TEST_F(ScratchUse, FindsAMultipathDisk) {
  constexpr PciAddress kOther{.bus = 3};
  tree_.AddFunction(kOther, {.vendor = 0x1b36, .device = 0x0010});
  const auto controller = tree_.AddObject(kOther, "nvme/nvme1");
  const std::string subsystem = "devices/virtual/nvme-subsystem/nvme-subsys1";
  tree_.WriteFile(subsystem + "/nvme1n1/dev", "");
  AddDisk("nvme1n1", tree_.root() / subsystem / "nvme1n1", 512);
  tree_.Link(subsystem + "/nvme1", controller);
  const auto why = [&](std::uint64_t first) {
    return WhyScratchInUse(tree_.sysfs(), kOther, {.first = first, .count = 1}, Now(), Nodes());
  };
  EXPECT_EQ(why(4095), std::nullopt);
  EXPECT_THAT(why(4096), Optional(HasSubstr("not on nvme1n1")));
}

}  // namespace
}  // namespace carryover
