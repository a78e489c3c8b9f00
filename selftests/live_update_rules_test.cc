// SPDX-License-Identifier: GPL-2.0-only
// LUO's own rules, without a kexec. Source of each: kernel/liveupdate/luo_{core,session,file}.c and
// include/uapi/linux/liveupdate.h of Linux 7.3.
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <liburing.h>
#include <linux/liveupdate.h>
#include <linux/memfd.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "drivers/access/result_matchers.h"
#include "drivers/access/unique_fd.h"
#include "fixtures/live_update/live_update.h"

namespace carryover {
namespace {

UniqueFd Memfd(off_t size, unsigned flags = MFD_CLOEXEC) {
  UniqueFd fd(memfd_create("rule", flags));
  EXPECT_TRUE(fd.valid()) << strerrordesc_np(errno);
  EXPECT_EQ(ftruncate(fd.get(), size), 0) << strerrordesc_np(errno);
  return fd;
}

class LiveUpdateRules : public ::testing::Test {
 protected:
  void SetUp() override {
    auto session = CreateSession(Name("main"));
    ASSERT_OK(session);
    session_.emplace(std::move(*session));
  }
  static std::string Name(std::string_view suffix) { return fmt::format("rules-{}", suffix); }
  [[nodiscard]] const LiveUpdateSession& session() const { return *session_; }
  void CloseSession() { session_.reset(); }

 private:
  std::optional<LiveUpdateSession> session_;
};

// luo_open(): the device is exclusive.
TEST_F(LiveUpdateRules, SecondOpenOfTheDeviceIsBusy) {
  const UniqueFd first(open(kLiveUpdateDevice, O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(first.valid());
  EXPECT_EQ(open(kLiveUpdateDevice, O_RDWR | O_CLOEXEC), -1);
  EXPECT_EQ(errno, EBUSY);
}

// Sessions stay usable after the device is closed.
TEST_F(LiveUpdateRules, SessionOutlivesTheDeviceFile) {
  EXPECT_THAT(session().KernelName(), IsOk());
}

TEST_F(LiveUpdateRules, KernelTellsTheSessionsName) {
  ASSERT_OK_AND_ASSIGN(const std::string name, session().KernelName());
  EXPECT_EQ(name, Name("main"));
}

TEST_F(LiveUpdateRules, LongestSessionNameIsAccepted) {
  const std::string name(kMaxSessionName, 'n');
  ASSERT_OK_AND_ASSIGN(const LiveUpdateSession longest, CreateSession(name));
  ASSERT_OK_AND_ASSIGN(const std::string told, longest.KernelName());
  EXPECT_EQ(told, name);
}

// luo_session_create(): without a NUL in 64 bytes the name is too long.
TEST_F(LiveUpdateRules, SessionNameWithoutTerminatorIsRefused) {
  const UniqueFd device(open(kLiveUpdateDevice, O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(device.valid());
  liveupdate_ioctl_create_session request{};
  request.size = sizeof(request);
  std::memset(request.name, 'n', sizeof(request.name));
  EXPECT_EQ(ioctl(device.get(), LIVEUPDATE_IOCTL_CREATE_SESSION, &request), -1);
  EXPECT_EQ(errno, EINVAL);
}

TEST_F(LiveUpdateRules, EmptySessionNameIsRefused) {
  EXPECT_THAT(CreateSession(""), FailsWith(EINVAL));
}

TEST_F(LiveUpdateRules, SessionNameInUseIsRefused) {
  EXPECT_THAT(CreateSession(Name("main")), FailsWith(EEXIST));
}

TEST_F(LiveUpdateRules, SessionNameIsFreeAfterClose) {
  CloseSession();
  EXPECT_THAT(CreateSession(Name("main")), IsOk());
}

// An outgoing session is not an incoming one.
TEST_F(LiveUpdateRules, OutgoingSessionCannotBeRetrieved) {
  EXPECT_THAT(RetrieveSession(Name("main")), FailsWith(ENOENT));
}

TEST_F(LiveUpdateRules, UnknownSessionCannotBeRetrieved) {
  EXPECT_THAT(RetrieveSession(Name("never made")), FailsWith(ENOENT));
}

TEST_F(LiveUpdateRules, MemfdIsPreserved) { EXPECT_OK(session().Preserve(Memfd(4096).get(), 1)); }

TEST_F(LiveUpdateRules, EmptyMemfdIsPreserved) { EXPECT_OK(session().Preserve(Memfd(0).get(), 1)); }

// memfd_luo_can_preserve() asks for shmem without a link: an unlinked tmpfs file is that, too.
TEST_F(LiveUpdateRules, UnlinkedTmpfsFileIsPreserved) {
  const UniqueFd file(open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!file.valid()) GTEST_SKIP() << "no tmpfs on /dev/shm: " << strerrordesc_np(errno);
  ASSERT_EQ(ftruncate(file.get(), 4096), 0);
  EXPECT_OK(session().Preserve(file.get(), 1));
}

TEST_F(LiveUpdateRules, TokenInUseIsRefused) {
  const UniqueFd first = Memfd(4096);
  const UniqueFd second = Memfd(4096);
  ASSERT_OK(session().Preserve(first.get(), 7));
  EXPECT_THAT(session().Preserve(second.get(), 7), FailsWith(EEXIST));
}

TEST_F(LiveUpdateRules, TokenMayBeAnyNumber) {
  EXPECT_OK(session().Preserve(Memfd(4096).get(), 0));
  EXPECT_OK(session().Preserve(Memfd(4096).get(), ~std::uint64_t{0}));
}

TEST_F(LiveUpdateRules, TokensOfTwoSessionsAreIndependent) {
  ASSERT_OK_AND_ASSIGN(const LiveUpdateSession other, CreateSession(Name("other")));
  EXPECT_OK(session().Preserve(Memfd(4096).get(), 1));
  EXPECT_OK(other.Preserve(Memfd(4096).get(), 1));
}

// luo_preserved_files: one file, one place.
TEST_F(LiveUpdateRules, PreservedFileIsRefusedUnderAnotherToken) {
  const UniqueFd memory = Memfd(4096);
  ASSERT_OK(session().Preserve(memory.get(), 1));
  EXPECT_THAT(session().Preserve(memory.get(), 2), FailsWith(EBUSY));
}

TEST_F(LiveUpdateRules, PreservedFileIsRefusedThroughADuplicate) {
  const UniqueFd memory = Memfd(4096);
  const UniqueFd duplicate(dup(memory.get()));
  ASSERT_OK(session().Preserve(memory.get(), 1));
  EXPECT_THAT(session().Preserve(duplicate.get(), 2), FailsWith(EBUSY));
}

// memfd_luo_get_id() is the inode: another open of the same memfd is the same file.
TEST_F(LiveUpdateRules, PreservedMemfdIsRefusedThroughAnotherOpen) {
  const UniqueFd memory = Memfd(4096);
  const UniqueFd reopened(
      open(fmt::format("/proc/self/fd/{}", memory.get()).c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(reopened.valid());
  ASSERT_OK(session().Preserve(memory.get(), 1));
  EXPECT_THAT(session().Preserve(reopened.get(), 2), FailsWith(EBUSY));
}

TEST_F(LiveUpdateRules, PreservedFileIsRefusedInAnotherSession) {
  const UniqueFd memory = Memfd(4096);
  ASSERT_OK_AND_ASSIGN(const LiveUpdateSession other, CreateSession(Name("other")));
  ASSERT_OK(session().Preserve(memory.get(), 1));
  EXPECT_THAT(other.Preserve(memory.get(), 1), FailsWith(EBUSY));
}

TEST_F(LiveUpdateRules, ClosingTheSessionUnpreserves) {
  const UniqueFd memory = Memfd(4096);
  ASSERT_OK(session().Preserve(memory.get(), 1));
  CloseSession();
  ASSERT_OK_AND_ASSIGN(const LiveUpdateSession other, CreateSession(Name("other")));
  EXPECT_OK(other.Preserve(memory.get(), 1));
}

// shmem_freeze(): size and holes are fixed while preserved; the bytes are not.
TEST_F(LiveUpdateRules, PreservedMemfdKeepsItsSizeButMayBeWritten) {
  const UniqueFd memory = Memfd(8192);
  ASSERT_OK(session().Preserve(memory.get(), 1));
  EXPECT_EQ(ftruncate(memory.get(), 4096), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(ftruncate(memory.get(), 16384), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(fallocate(memory.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(pwrite(memory.get(), "x", 1, 100), 1);
}

TEST_F(LiveUpdateRules, UnpreservedMemfdMayChangeItsSizeAgain) {
  const UniqueFd memory = Memfd(8192);
  ASSERT_OK(session().Preserve(memory.get(), 1));
  CloseSession();
  EXPECT_EQ(ftruncate(memory.get(), 4096), 0) << strerrordesc_np(errno);
}

TEST_F(LiveUpdateRules, PreservedFileStaysAfterItsLastUserClosesIt) {
  UniqueFd memory = Memfd(4096);
  ASSERT_OK(session().Preserve(memory.get(), 1));
  memory = UniqueFd();
  EXPECT_THAT(session().Preserve(Memfd(4096).get(), 1), FailsWith(EEXIST));
}

TEST_F(LiveUpdateRules, BadFileDescriptorIsRefused) {
  EXPECT_THAT(session().Preserve(-1, 1), FailsWith(EBADF));
  EXPECT_THAT(session().Preserve(1 << 20, 1), FailsWith(EBADF));
}

TEST_F(LiveUpdateRules, RetrieveFromAnOutgoingSessionIsRefused) {
  ASSERT_OK(session().Preserve(Memfd(4096).get(), 1));
  EXPECT_THAT(session().Retrieve(1), FailsWith(EINVAL));
}

TEST_F(LiveUpdateRules, FinishOfAnOutgoingSessionIsRefused) {
  EXPECT_THAT(session().Finish(), FailsWith(EINVAL));
}

// Files that no handler of mainline takes.
struct UnsupportedFile {
  const char* name;
  UniqueFd (*open)();
};

class LiveUpdateUnsupportedFile : public LiveUpdateRules,
                                  public ::testing::WithParamInterface<UnsupportedFile> {};

TEST_P(LiveUpdateUnsupportedFile, HasNoHandler) {
  const UniqueFd file = GetParam().open();
  ASSERT_TRUE(file.valid()) << strerrordesc_np(errno);
  EXPECT_THAT(session().Preserve(file.get(), 1), FailsWith(ENOENT));
  // The token is free: nothing is left of the attempt.
  EXPECT_OK(session().Preserve(Memfd(4096).get(), 1));
}

UniqueFd OpenPipe() {
  std::array<int, 2> ends{-1, -1};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return UniqueFd();
  const UniqueFd write_end(ends[1]);
  return UniqueFd(ends[0]);
}

UniqueFd OpenIoUring() {
  io_uring_params params{};
  return UniqueFd(static_cast<int>(syscall(SYS_io_uring_setup, 4U, &params)));
}

INSTANTIATE_TEST_SUITE_P(
    , LiveUpdateUnsupportedFile,
    ::testing::Values(
        UnsupportedFile{"Pipe", OpenPipe},
        UnsupportedFile{"Eventfd", [] { return UniqueFd(eventfd(0, EFD_CLOEXEC)); }},
        UnsupportedFile{"IoUring", OpenIoUring},
        UnsupportedFile{"Socket", [] { return UniqueFd(socket(AF_UNIX, SOCK_STREAM, 0)); }},
        UnsupportedFile{"Epoll", [] { return UniqueFd(epoll_create1(EPOLL_CLOEXEC)); }},
        UnsupportedFile{"Timerfd",
                        [] { return UniqueFd(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)); }},
        UnsupportedFile{"Directory", [] { return UniqueFd(open("/proc", O_RDONLY)); }},
        UnsupportedFile{"Session",
                        [] {
                          auto session = CreateSession("rules-as-file");
                          return session ? UniqueFd(dup(session->fd())) : UniqueFd();
                        }},
        UnsupportedFile{"HugetlbMemfd",
                        [] { return UniqueFd(memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB)); }}),
    [](const auto& test) { return test.param.name; });

// Every ioctl begins with its size: luo_ioctl(), luo_session_ioctl(), copy_struct_from_user().
struct IoctlCase {
  const char* name;
  unsigned long command;
  std::size_t size;
  bool on_device;
  bool succeeds;  // with what Prepare() filled in
};

class LiveUpdateIoctlSize : public LiveUpdateRules,
                            public ::testing::WithParamInterface<IoctlCase> {
 protected:
  void SetUp() override {
    LiveUpdateRules::SetUp();
    memory_ = Memfd(4096);
    if (GetParam().on_device) {
      device_ = UniqueFd(open(kLiveUpdateDevice, O_RDWR | O_CLOEXEC));
      ASSERT_TRUE(device_.valid());
    }
    bytes_.resize(GetParam().size + 16);
    if (GetParam().command == LIVEUPDATE_SESSION_PRESERVE_FD) {
      liveupdate_session_preserve_fd request{};
      request.fd = memory_.get();
      std::memcpy(bytes_.data(), &request, sizeof(request));
    } else if (GetParam().on_device) {
      std::memcpy(bytes_.data() + offsetof(liveupdate_ioctl_create_session, name), "sized", 6);
    }
  }

  // 0 or the errno.
  int Call(std::uint32_t size) {
    std::memcpy(bytes_.data(), &size, sizeof(size));
    const int fd = GetParam().on_device ? device_.get() : session().fd();
    if (ioctl(fd, GetParam().command, bytes_.data()) == 0) {
      if (GetParam().on_device) {
        std::int32_t made = -1;
        std::memcpy(&made, bytes_.data() + offsetof(liveupdate_ioctl_create_session, fd),
                    sizeof(made));
        (void)close(made);
      }
      return 0;
    }
    return errno;
  }

  std::vector<unsigned char>& bytes() { return bytes_; }

 private:
  UniqueFd memory_;
  UniqueFd device_;
  std::vector<unsigned char> bytes_;
};

TEST_P(LiveUpdateIoctlSize, TooSmallIsRefused) {
  EXPECT_EQ(Call(0), EINVAL);
  EXPECT_EQ(Call(static_cast<std::uint32_t>(GetParam().size - 1)), EINVAL);
}

TEST_P(LiveUpdateIoctlSize, LargerWithZeroTailIsUnderstood) {
  const int error = Call(static_cast<std::uint32_t>(bytes().size()));
  if (GetParam().succeeds) {
    EXPECT_EQ(error, 0);
  } else {
    EXPECT_NE(error, E2BIG);
    EXPECT_NE(error, 0);
  }
}

TEST_P(LiveUpdateIoctlSize, LargerWithUnknownTailIsRefused) {
  bytes().back() = 1;
  // RETRIEVE_FD and FINISH are refused on an outgoing session before the size is looked at.
  const bool wrong_direction = GetParam().command == LIVEUPDATE_SESSION_RETRIEVE_FD ||
                               GetParam().command == LIVEUPDATE_SESSION_FINISH;
  EXPECT_EQ(Call(static_cast<std::uint32_t>(bytes().size())), wrong_direction ? EINVAL : E2BIG);
}

INSTANTIATE_TEST_SUITE_P(
    , LiveUpdateIoctlSize,
    ::testing::Values(IoctlCase{"CreateSession", LIVEUPDATE_IOCTL_CREATE_SESSION,
                                sizeof(liveupdate_ioctl_create_session), true, true},
                      IoctlCase{"RetrieveSession", LIVEUPDATE_IOCTL_RETRIEVE_SESSION,
                                sizeof(liveupdate_ioctl_retrieve_session), true, false},
                      IoctlCase{"PreserveFd", LIVEUPDATE_SESSION_PRESERVE_FD,
                                sizeof(liveupdate_session_preserve_fd), false, true},
                      IoctlCase{"RetrieveFd", LIVEUPDATE_SESSION_RETRIEVE_FD,
                                sizeof(liveupdate_session_retrieve_fd), false, false},
                      IoctlCase{"Finish", LIVEUPDATE_SESSION_FINISH,
                                sizeof(liveupdate_session_finish), false, false},
                      IoctlCase{"GetName", LIVEUPDATE_SESSION_GET_NAME,
                                sizeof(liveupdate_session_get_name), false, true}),
    [](const auto& test) { return test.param.name; });

TEST_F(LiveUpdateRules, ReservedFieldOfGetNameMustBeZero) {
  liveupdate_session_get_name request{};
  request.size = sizeof(request);
  request.reserved = 1;
  EXPECT_EQ(ioctl(session().fd(), LIVEUPDATE_SESSION_GET_NAME, &request), -1);
  EXPECT_EQ(errno, EINVAL);
}

// luo_session_ioctl(): a number outside the table is EINVAL, a known number with another encoding
// ENOTTY.
TEST_F(LiveUpdateRules, UnknownIoctlIsRefused) {
  EXPECT_EQ(ioctl(session().fd(), _IO(LIVEUPDATE_IOCTL_TYPE, 0x7f), nullptr), -1);
  EXPECT_EQ(errno, EINVAL);
  liveupdate_session_get_name request{};
  request.size = sizeof(request);
  EXPECT_EQ(ioctl(session().fd(), _IOW(LIVEUPDATE_IOCTL_TYPE, LIVEUPDATE_CMD_SESSION_GET_NAME, int),
                  &request),
            -1);
  EXPECT_EQ(errno, ENOTTY);
}

TEST_F(LiveUpdateRules, ArgumentOutsideTheAddressSpaceIsRefused) {
  EXPECT_EQ(ioctl(session().fd(), LIVEUPDATE_SESSION_GET_NAME, nullptr), -1);
  EXPECT_EQ(errno, EFAULT);
}

}  // namespace
}  // namespace carryover
