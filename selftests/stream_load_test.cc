// SPDX-License-Identifier: GPL-2.0-only
// The claim `stream` under load: several devices at once beside busy ones that are not preserved, a
// refused kexec in between, and an incoming kernel that is short of memory. The device files of
// these tests are their own.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <vector>

#include "drivers/access/result_matchers.h"
#include "fixtures/device_file/expect_refused.h"
#include "fixtures/device_file/in_flight.h"
#include "fixtures/dma/on_device.h"
#include "fixtures/memory_pressure/memory_pressure.h"
#include "fixtures/native_disk/busy_disk.h"
#include "fixtures/stream/expect_stream.h"
#include "fixtures/stream/many_streams.h"
#include "fixtures/stream/stream_continuity.h"

namespace carryover {
namespace {

using std::chrono::microseconds;

constexpr std::size_t kSlots = std::size_t{128} << 10;
constexpr microseconds kPeriod{1000};

constexpr ContinuityTraits kEight{.claim = Claim::kStream,
                                  .driver = "dmac",
                                  .device = 6,
                                  .devices = 8,
                                  .time_limit = std::chrono::seconds(60),
                                  .own_kexec = true};
constexpr ContinuityTraits kPair{.claim = Claim::kStream,
                                 .driver = "dmac",
                                 .device = 14,
                                 .devices = 2,
                                 .time_limit = std::chrono::seconds(60),
                                 .own_kexec = true};
constexpr ContinuityTraits kRefused{.claim = Claim::kStream, .driver = "dmac", .device = 16};
constexpr ContinuityTraits kPressure{.claim = Claim::kStream,
                                     .driver = "dmac",
                                     .device = 18,
                                     .time_limit = std::chrono::seconds(90)};

std::optional<NativeDisk> DiskBesideListed() {
  const auto& listed = Devices::Get().listed();
  return FindNativeDisk(Devices::Get().sysfs(), [&](const PciAddress& address) {
    return std::ranges::find(listed, address, &ListedDevice::address) != listed.end();
  });
}

class StreamBeforeRefusal : public OnDevice<StreamContinuity, kRefused> {};

CONTINUITY_TEST(StreamBeforeRefusal, GoesOnThroughBothKexecs, StreamCarried,
                "A stream loses nothing in two kexecs that are refused at freeze, and in the one "
                "that follows")
ARM(StreamBeforeRefusal, GoesOnThroughBothKexecs) {
  ASSERT_NO_FATAL_FAILURE(ArmStream(kSlots, kPeriod, record));
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Stream> stream, dma().device().MakeStream());
  for (int refused = 0; refused < 2; ++refused) {
    ASSERT_NO_FATAL_FAILURE(ExpectRefusedBy("dmac"));
    if (IsSkipped()) return;
    ASSERT_OK_AND_ASSIGN(const std::uint64_t count, stream->Count());
    ASSERT_OK(AwaitStreamEntries(*stream, count + 50, DrivenDevice::Patience()));
  }
}
VERIFY(StreamBeforeRefusal, GoesOnThroughBothKexecs) { VerifyStream(record); }

struct BesideDiskRecord {
  ManyStreamsCarried streams;
  std::uint64_t disk_hash;
};

// Several streams, and a disk that the kernels' own driver keeps busy all the time.
class StreamsBesideDisk : public ManyStreams {
 protected:
  using ManyStreams::ManyStreams;

  void ArmBesideDisk(BesideDiskRecord& record) {
    const auto disk = DiskBesideListed();
    if (!disk) GTEST_SKIP() << "no function beside those for tests has a disk";
    ASSERT_OK_AND_ASSIGN(auto busy, BusyDisk::Begin(disk->node));
    record.disk_hash = busy->hash();
    ASSERT_NO_FATAL_FAILURE(ArmStreams(kSlots, kPeriod, record.streams));
    ASSERT_OK(busy->Good());
    Keep(std::move(busy));
  }
  void VerifyBesideDisk(const BesideDiskRecord& record) {
    const auto disk = DiskBesideListed();
    ASSERT_TRUE(disk) << "the disk is gone";
    RecordProperty("busy_disk", disk->address.ToString());
    ASSERT_OK_AND_ASSIGN(const auto busy, BusyDisk::Begin(disk->node));
    EXPECT_EQ(busy->hash(), record.disk_hash) << "the disk has other content, or is another";
    VerifyStreams(record.streams);
    EXPECT_OK(busy->Good());
    EXPECT_GT(busy->times(), 0U);
    RecordProperty("busy_disk_reads", std::to_string(busy->times()));
  }
};

class TwoStreams : public OnDevices<StreamsBesideDisk, kPair> {};

CONTINUITY_TEST(TwoStreams, GoOnBesideABusyDisk, BesideDiskRecord,
                "Two devices that write an entry every millisecond lose none, and a disk that is "
                "not preserved is read until the kexec, and again at once after it")
ARM(TwoStreams, GoOnBesideABusyDisk) { ArmBesideDisk(record); }
VERIFY(TwoStreams, GoOnBesideABusyDisk) { VerifyBesideDisk(record); }

class EightStreams : public OnDevices<StreamsBesideDisk, kEight> {};

CONTINUITY_TEST(EightStreams, GoOnBesideABusyDisk, BesideDiskRecord, "The same with eight devices")
ARM(EightStreams, GoOnBesideABusyDisk) { ArmBesideDisk(record); }
VERIFY(EightStreams, GoOnBesideABusyDisk) { VerifyBesideDisk(record); }

class StreamUnderPressure : public OnDevice<StreamContinuity, kPressure> {};

// Reads a disk through the page cache, which then lets go of it.
void ChurnPageCache(const UniqueFd& disk, std::atomic<std::uint64_t>& read) {
  std::vector<std::byte> buffer(std::size_t{1} << 20);
  for (off_t at = 0; at < off_t{16} << 20; at += static_cast<off_t>(buffer.size())) {
    const ssize_t bytes = pread(disk.get(), buffer.data(), buffer.size(), at);
    if (bytes <= 0) break;
    read += static_cast<std::uint64_t>(bytes);
  }
  (void)posix_fadvise(disk.get(), 0, 0, POSIX_FADV_DONTNEED);
}

CONTINUITY_TEST(StreamUnderPressure, GoesOn, StreamCarried,
                "A stream loses nothing while nine tenths of the incoming kernel's free memory are "
                "taken and written, from before its file is retrieved until it is stopped, and it "
                "writes nothing there")
ARM(StreamUnderPressure, GoesOn) { ArmStream(kSlots, kPeriod, record); }
VERIFY(StreamUnderPressure, GoesOn) {
  constexpr double kShare = 0.9;
  std::optional<UniqueFd> disk;
  std::atomic<std::uint64_t> read = 0;
  std::optional<InFlight> cache;
  if (const auto native = DiskBesideListed()) {
    disk.emplace(open(native->node.c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(disk->valid()) << native->node << ": " << strerrordesc_np(errno);
    cache.emplace([&] { ChurnPageCache(*disk, read); });
  }
  ASSERT_OK_AND_ASSIGN(const auto pressure, MemoryPressure::Begin(kShare));
  VerifyStream(record);
  EXPECT_EQ(pressure->CountDamagedPages(), 0U) << "somebody wrote into memory that he had not";
  EXPECT_GT(pressure->churned(), 0U);
  RecordProperty("pressure_mib", std::to_string(pressure->size() >> 20));
  RecordProperty("pressure_churned", std::to_string(pressure->churned()));
  if (cache) {
    EXPECT_GT(read, 0U) << "the page cache was not used";
  }
  RecordProperty("page_cache_churned_mib", std::to_string(read >> 20));
}

}  // namespace
}  // namespace carryover
