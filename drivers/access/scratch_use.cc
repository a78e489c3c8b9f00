// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/scratch_use.h"

#include <blkid/blkid.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <thread>
#include <vector>

#include "drivers/access/disks.h"

namespace carryover {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kSector = 512;  // sysfs's unit of start and size, whatever the disk's is

std::optional<std::uint64_t> ReadNumber(const fs::path& attribute) {
  const auto text = Sysfs::Read(attribute);
  if (!text) return std::nullopt;
  std::uint64_t number = 0;
  const char* const end = text->data() + text->size();
  const auto [rest, error] = std::from_chars(text->data(), end, number);
  if (error != std::errc() || rest != end) return std::nullopt;
  return number;
}

struct Sectors {
  std::uint64_t first = 0;
  std::uint64_t end = 0;  // exclusive

  [[nodiscard]] bool Overlaps(const Sectors& other) const {
    return first < other.end && other.first < end;
  }
};

std::optional<std::string> OverlappedPartition(const fs::path& disk, const Sectors& range) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(disk, error)) {
    if (!fs::exists(entry.path() / "partition", error)) continue;
    const auto start = ReadNumber(entry.path() / "start");
    const auto size = ReadNumber(entry.path() / "size");
    if (start && size && !range.Overlaps({*start, *start + *size})) continue;
    return entry.path().filename().string();
  }
  return std::nullopt;
}

struct FreeProbe {
  void operator()(blkid_probe probe) const { blkid_free_probe(probe); }
};

// What libblkid finds at the disk's well known places; empty if nothing. Without a probe errno says
// why.
Result<std::string> WholeDiskContent(blkid_probe probe, const fs::path& node) {
  if (probe == nullptr) return FailErrno(fmt::format("read {}", node.string()));
  blkid_probe_enable_superblocks(probe, 1);
  blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE);
  const int found = blkid_do_safeprobe(probe);
  if (found == 1) return "";
  if (found == -2) return "several signatures that contradict each other";
  if (found != 0) return FailErrno(fmt::format("read {}", node.string()));
  const char* type = nullptr;
  if (blkid_probe_lookup_value(probe, "TYPE", &type, nullptr) != 0) return "";
  return std::string(type);
}

// drivers/nvme writes to namespace 1. The kernel numbers disks as it finds them, several at once:
// nvme0n1 can be another. Disks of others have no such attribute.
bool IsWrittenTo(const fs::path& disk) { return Sysfs::Read(disk / "nsid").value_or("1") == "1"; }

std::optional<fs::path> AwaitDisk(const Sysfs& sysfs, const PciAddress& address,
                                  Deadline deadline) {
  while (true) {
    const std::vector<fs::path> disks = DisksOf(sysfs, address);
    const auto found = std::ranges::find_if(disks, IsWrittenTo);
    if (found != disks.end()) return *found;
    if (deadline.Passed()) return std::nullopt;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

bool HasPartitionTable(blkid_probe probe) {
  blkid_probe_enable_superblocks(probe, 0);
  blkid_probe_enable_partitions(probe, 1);
  return blkid_do_safeprobe(probe) != 1;
}

}  // namespace

std::optional<std::string> WhyScratchInUse(const Sysfs& sysfs, const PciAddress& address,
                                           const BlockRange& range, Deadline deadline,
                                           const fs::path& devices) {
  const auto disk = AwaitDisk(sysfs, address, deadline);
  if (!disk) {
    return "the kernel's driver does not have its disk now (of NVMe, namespace 1), so that it "
           "cannot be told what the scratch blocks hold: bind it to that driver first";
  }
  const std::string name = disk->filename().string();
  const auto block_size = ReadNumber(*disk / "queue/logical_block_size");
  const auto size = ReadNumber(*disk / "size");
  if (!block_size || *block_size < kSector || !size) {
    return fmt::format("sysfs does not tell the size of {} and of its blocks", name);
  }
  const std::uint64_t blocks = *size * kSector / *block_size;
  if (range.count == 0 || range.first > blocks || range.count > blocks - range.first) {
    return fmt::format(
        "its scratch blocks, {} from block {}, are not on {}, which has {} blocks "
        "of {} bytes",
        range.count, range.first, name, blocks, *block_size);
  }
  const Sectors sectors{range.first * (*block_size / kSector),
                        (range.first + range.count) * (*block_size / kSector)};
  if (const auto partition = OverlappedPartition(*disk, sectors)) {
    return fmt::format("its scratch blocks, {} from block {}, overlap the partition {}",
                       range.count, range.first, *partition);
  }
  const fs::path node = devices / name;
  // One for both looks: a disk may be slow, and what it read once is not read again.
  const std::unique_ptr<blkid_struct_probe, FreeProbe> probe(
      blkid_new_probe_from_filename(node.c_str()));
  const auto content = WholeDiskContent(probe.get(), node);
  if (!content) return content.error().ToString();
  if (!content->empty()) {
    return fmt::format("all of its disk {} is in use: it holds {}", name, *content);
  }
  // A GPT has 34 blocks at the beginning, of 512 bytes, and 33 at the end (UEFI 2.10, 5.3.2).
  constexpr std::uint64_t kTable = 34;
  const std::uint64_t table = kTable * (*block_size / kSector);
  if (HasPartitionTable(probe.get()) &&
      (sectors.Overlaps({0, table}) || sectors.Overlaps({*size - std::min(*size, table), *size}))) {
    return fmt::format("its scratch blocks, {} from block {}, overlap the partition table of {}",
                       range.count, range.first, name);
  }
  return std::nullopt;
}

}  // namespace carryover
