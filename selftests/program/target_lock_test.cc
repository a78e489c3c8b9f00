// SPDX-License-Identifier: GPL-2.0-only
#include "selftests/program/target_lock.h"

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "drivers/access/temporary_folder.h"

namespace carryover {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

class TargetLockTest : public testing::Test {
 protected:
  Result<TargetLock> Take(const std::string& owner) {
    return TargetLock::Take(owner, "arm", folder_);
  }

  // A process that takes the lock for `owner`, leaves a holder and ends, as `arm` does. The holder
  // ends when `stop` is closed. With `zombie`, the process that took it is left one.
  void LeaveHolder(const std::string& owner, UniqueFd& stop, pid_t* zombie = nullptr) {
    std::array<int, 2> life{};
    ASSERT_EQ(pipe(life.data()), 0);
    const pid_t arm = fork();
    if (arm == 0) {
      (void)close(life[1]);
      const auto lock = Take(owner);
      if (lock && fork() == 0) {
        char byte = 0;
        (void)!read(life[0], &byte, 1);
      }
      std::_Exit(lock ? 0 : 1);
    }
    (void)close(life[0]);
    stop.reset(life[1]);
    siginfo_t ended{};
    const int keep = zombie == nullptr ? 0 : WNOWAIT;
    ASSERT_EQ(waitid(P_PID, static_cast<id_t>(arm), &ended, WEXITED | keep), 0);
    ASSERT_EQ(ended.si_status, 0);
    if (zombie != nullptr) *zombie = arm;
  }

  TemporaryFolder temporary_;
  const std::filesystem::path folder_ = temporary_.path();
};

TEST_F(TargetLockTest, IsTakenByOne) {
  const auto first = Take("ann@desk");
  ASSERT_TRUE(first) << first.error().ToString();
  const auto second = Take("bob@desk");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, EBUSY);
  EXPECT_THAT(second.error().message,
              AllOf(HasSubstr("held by ann@desk, by `arm`, process " + std::to_string(getpid())),
                    HasSubstr("since 20")));
}

// Two programs of one owner at work at once are as bad as those of two.
TEST_F(TargetLockTest, IsTakenOnceByTheSameOwner) {
  const auto first = Take("ann@desk");
  ASSERT_TRUE(first);
  EXPECT_FALSE(Take("ann@desk"));
}

TEST_F(TargetLockTest, IsFreeAgain) {
  {
    ASSERT_TRUE(Take("ann@desk"));
  }
  EXPECT_TRUE(Take("bob@desk"));
}

TEST_F(TargetLockTest, IsKeptByAHolder) {
  UniqueFd stop;
  ASSERT_NO_FATAL_FAILURE(LeaveHolder("ann@desk", stop));
  const auto other = Take("bob@desk");
  ASSERT_FALSE(other);
  EXPECT_THAT(other.error().message, HasSubstr("held by ann@desk"));
  EXPECT_TRUE(Take("ann@desk"));   // her next verb, such as kexec
  EXPECT_FALSE(Take("bob@desk"));  // which did not free it
}

// Whatever the holder dies of, the kernel frees its lock.
TEST_F(TargetLockTest, EndsWithItsHolder) {
  UniqueFd stop;
  ASSERT_NO_FATAL_FAILURE(LeaveHolder("ann@desk", stop));
  stop.reset();
  Result<TargetLock> lock = Take("bob@desk");
  for (int i = 0; !lock && i < 500; ++i) {
    (void)usleep(10'000);
    lock = Take("bob@desk");
  }
  EXPECT_TRUE(lock);
}

TEST_F(TargetLockTest, IsReadWithoutBeingTouched) {
  auto nobody = ReadLock(folder_);
  ASSERT_TRUE(nobody) << nobody.error().ToString();
  EXPECT_FALSE(*nobody);
  {
    const auto lock = Take("ann@desk");
    ASSERT_TRUE(lock);
    const auto record = ReadLock(folder_);
    ASSERT_TRUE(record && *record);
    EXPECT_EQ((*record)->owner, "ann@desk");
    EXPECT_EQ((*record)->verb, "arm");
    EXPECT_EQ((*record)->pid, getpid());
  }
  nobody = ReadLock(folder_);  // the file is there, and nobody has its lock
  ASSERT_TRUE(nobody);
  EXPECT_FALSE(*nobody);
}

// A process with the id of the one that took it is not that one, unless it started then, too.
TEST_F(TargetLockTest, IsKeptByAHolderWhoseTakersIdIsAnothersNow) {
  UniqueFd stop;
  ASSERT_NO_FATAL_FAILURE(LeaveHolder("ann@desk", stop));
  std::ofstream(folder_ / "lock") << R"({"owner": "ann@desk", "start_time": 1, "pid": )" << getpid()
                                  << "}";
  EXPECT_TRUE(Take("ann@desk"));
  EXPECT_FALSE(Take("bob@desk"));
}

// One who has ended, and whom his parent has not waited for, is at work no more.
TEST_F(TargetLockTest, IsKeptByTheHolderOfAZombie) {
  UniqueFd stop;
  pid_t zombie = 0;
  ASSERT_NO_FATAL_FAILURE(LeaveHolder("ann@desk", stop, &zombie));
  EXPECT_TRUE(Take("ann@desk"));
  EXPECT_EQ(waitpid(zombie, nullptr, 0), zombie);
}

TEST_F(TargetLockTest, IsNotHeldByALockOnAnotherFile) {
  ASSERT_TRUE(Take("ann@desk"));
  std::filesystem::create_directories(folder_ / "other");
  const auto other = TargetLock::Take("ann@desk", "arm", folder_ / "other");
  ASSERT_TRUE(other);
  const auto nobody = ReadLock(folder_);
  ASSERT_TRUE(nobody);
  EXPECT_FALSE(*nobody);
}

// No remains of a longer record before it.
TEST_F(TargetLockTest, SaysWhoHasItNow) {
  ASSERT_TRUE(Take(std::string(200, 'x')));
  const auto lock = Take("ann");
  ASSERT_TRUE(lock);
  const auto record = ReadLock(folder_);
  ASSERT_TRUE(record && *record);
  EXPECT_EQ((*record)->owner, "ann");
}

TEST_F(TargetLockTest, CannotBeReadIsNotFree) {
  std::ofstream(folder_ / "file") << "";
  EXPECT_FALSE(ReadLock(folder_ / "file"));
}

// Somebody has it, and has not written down yet who he is.
TEST_F(TargetLockTest, IsHeldWithoutARecord) {
  const auto lock = Take("ann@desk");
  ASSERT_TRUE(lock);
  std::ofstream(folder_ / "lock") << "";
  const auto other = Take("");
  ASSERT_FALSE(other);
  EXPECT_THAT(other.error().message, HasSubstr("somebody who has just taken it"));
}

TEST_F(TargetLockTest, FailsWhereNoFileCanBe) {
  std::ofstream(folder_ / "file") << "";
  const auto lock = TargetLock::Take("ann@desk", "arm", folder_ / "file");
  ASSERT_FALSE(lock);
  EXPECT_NE(lock.error().code, EBUSY);
}

TEST(DefaultOwnerTest, IsSomebody) { EXPECT_THAT(DefaultOwner(), testing::Not(IsEmpty())); }

}  // namespace
}  // namespace carryover
