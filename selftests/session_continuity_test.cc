// SPDX-License-Identifier: GPL-2.0-only
// Sessions and files across a kexec: many of them, in any order, and the rules of incoming
// sessions.
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <numeric>
#include <thread>
#include <utility>

#include "drivers/access/await_readable.h"
#include "drivers/access/result_matchers.h"
#include "fixtures/memory/memory_continuity.h"

namespace carryover {
namespace {

// Files that each hold their own number, spread over sessions.
class SessionContinuity : public MemoryContinuity {
 protected:
  // A memfd that holds `number`.
  static Result<UniqueFd> NumberedMemfd(std::uint64_t number) {
    auto memory = MakeMemfd(4096);
    if (memory) WriteWord(*memory, 64, number);
    return memory;
  }

  // `sessions` extra sessions, each with `files` files: token t of session s holds Number(s, t).
  void ArmGrid(std::uint32_t sessions, std::uint32_t files) {
    for (std::uint32_t s = 1; s <= sessions; ++s) {
      ASSERT_OK_AND_ASSIGN(LiveUpdateSession session, CreateExtraSession(s));
      for (std::uint32_t t = 1; t <= files; ++t) {
        ASSERT_OK_AND_ASSIGN(const UniqueFd memory, NumberedMemfd(Number(s, t)));
        ASSERT_OK(session.Preserve(memory.get(), t));
      }
      Continuity::Get().KeepSession(std::move(session));
    }
  }

  // Retrieves and checks, sessions and files in the order given.
  void VerifyGrid(const std::vector<std::uint32_t>& sessions,
                  const std::vector<std::uint32_t>& files) {
    for (const std::uint32_t s : sessions) {
      ASSERT_OK_AND_ASSIGN(const LiveUpdateSession session, RetrieveExtraSession(s));
      for (const std::uint32_t t : files) {
        ASSERT_OK_AND_ASSIGN(const UniqueFd memory, RetrieveFrom(session, t));
        EXPECT_EQ(ReadWord(memory, 64), Number(s, t)) << "session " << s << " token " << t;
      }
      ASSERT_OK(session.Finish());
    }
  }

  static std::uint64_t Number(std::uint64_t session, std::uint64_t token) {
    return 0xca440000'00000000U + (session << 32) + token;
  }
  static std::vector<std::uint32_t> Ascending(std::uint32_t count) {
    std::vector<std::uint32_t> order(count);
    std::iota(order.begin(), order.end(), 1);
    return order;
  }
  static std::vector<std::uint32_t> Descending(std::uint32_t count) {
    auto order = Ascending(count);
    std::ranges::reverse(order);
    return order;
  }
  UniqueFd memory_;  // from verify to carry

  // Every k-th, then the ones between: neither ascending nor descending.
  static std::vector<std::uint32_t> Interleaved(std::uint32_t count) {
    auto order = Ascending(count);
    std::ranges::sort(order, {}, [](std::uint32_t i) { return std::pair(i * 7 % 11, i); });
    return order;
  }
};

CONTINUITY_TEST(SessionContinuity, OneSessionOneFile, NothingRecord, "One session with one file")
ARM(SessionContinuity, OneSessionOneFile) { ArmGrid(1, 1); }
VERIFY(SessionContinuity, OneSessionOneFile) { VerifyGrid({1}, {1}); }

CONTINUITY_TEST(SessionContinuity, TwoSessions, NothingRecord,
                "Two sessions with the same tokens are not mixed up")
ARM(SessionContinuity, TwoSessions) { ArmGrid(2, 3); }
VERIFY(SessionContinuity, TwoSessions) { VerifyGrid(Ascending(2), Ascending(3)); }

CONTINUITY_TEST(SessionContinuity, SixtyFourSessions, NothingRecord, "64 sessions of two files")
ARM(SessionContinuity, SixtyFourSessions) { ArmGrid(64, 2); }
VERIFY(SessionContinuity, SixtyFourSessions) { VerifyGrid(Ascending(64), Ascending(2)); }

CONTINUITY_TEST(SessionContinuity, SessionsInReverseOrder, NothingRecord,
                "Sessions are retrieved in reverse order")
ARM(SessionContinuity, SessionsInReverseOrder) { ArmGrid(8, 1); }
VERIFY(SessionContinuity, SessionsInReverseOrder) { VerifyGrid(Descending(8), {1}); }

CONTINUITY_TEST(SessionContinuity, FilesInReverseOrder, NothingRecord,
                "Files are retrieved in reverse order")
ARM(SessionContinuity, FilesInReverseOrder) { ArmGrid(1, 32); }
VERIFY(SessionContinuity, FilesInReverseOrder) { VerifyGrid({1}, Descending(32)); }

CONTINUITY_TEST(SessionContinuity, FilesInMixedOrder, NothingRecord,
                "Files of several sessions are retrieved in mixed order")
ARM(SessionContinuity, FilesInMixedOrder) { ArmGrid(4, 20); }
VERIFY(SessionContinuity, FilesInMixedOrder) { VerifyGrid(Interleaved(4), Interleaved(20)); }

CONTINUITY_TEST(SessionContinuity, FilesOfSessionsInterleaved, NothingRecord,
                "Files are retrieved in turn from sessions that are open at once")
ARM(SessionContinuity, FilesOfSessionsInterleaved) { ArmGrid(3, 5); }
VERIFY(SessionContinuity, FilesOfSessionsInterleaved) {
  std::vector<LiveUpdateSession> sessions;
  for (const std::uint32_t s : Ascending(3)) {
    ASSERT_OK_AND_ASSIGN(LiveUpdateSession session, RetrieveExtraSession(s));
    sessions.push_back(std::move(session));
  }
  for (const std::uint32_t t : Ascending(5)) {
    for (const std::uint32_t s : Descending(3)) {
      ASSERT_OK_AND_ASSIGN(const UniqueFd memory, RetrieveFrom(sessions[s - 1], t));
      EXPECT_EQ(ReadWord(memory, 64), Number(s, t));
    }
  }
  for (const LiveUpdateSession& session : sessions) EXPECT_OK(session.Finish());
}

struct CountRecord {
  std::uint32_t files;
};

// 500, or as many as the kernel takes; the limit found is reported, and fewer than 16 is a failure.
CONTINUITY_TEST(SessionContinuity, FiveHundredFiles, CountRecord,
                "500 files in one session, or the kernel's limit, found and reported")
ARM(SessionContinuity, FiveHundredFiles) {
  constexpr std::uint32_t kWanted = 500;
  ASSERT_OK_AND_ASSIGN(LiveUpdateSession session, CreateExtraSession(1));
  for (std::uint32_t t = 1; t <= kWanted; ++t) {
    ASSERT_OK_AND_ASSIGN(const UniqueFd memory, NumberedMemfd(Number(1, t)));
    const auto preserved = session.Preserve(memory.get(), t);
    if (!preserved && preserved.error().code == ENOSPC) break;  // luo_file.c: the file set is full
    ASSERT_OK(preserved);
    record.files = t;
  }
  RecordProperty("files_in_a_session", std::to_string(record.files));
  EXPECT_GE(record.files, 16U);
  Continuity::Get().KeepSession(std::move(session));
}
VERIFY(SessionContinuity, FiveHundredFiles) { VerifyGrid({1}, Ascending(record.files)); }

CONTINUITY_TEST(SessionContinuity, TokensAreAnyNumber, NothingRecord,
                "Tokens 0 and 2^64-1 come back as themselves")
ARM(SessionContinuity, TokensAreAnyNumber) {
  ASSERT_OK_AND_ASSIGN(LiveUpdateSession session, CreateExtraSession(1));
  for (const std::uint64_t token : {std::uint64_t{0}, ~std::uint64_t{0}}) {
    ASSERT_OK_AND_ASSIGN(const UniqueFd memory, NumberedMemfd(token ^ 0xff));
    ASSERT_OK(session.Preserve(memory.get(), token));
  }
  Continuity::Get().KeepSession(std::move(session));
}
VERIFY(SessionContinuity, TokensAreAnyNumber) {
  ASSERT_OK_AND_ASSIGN(const LiveUpdateSession session, RetrieveExtraSession(1));
  for (const std::uint64_t token : {std::uint64_t{0}, ~std::uint64_t{0}}) {
    ASSERT_OK_AND_ASSIGN(const UniqueFd memory, RetrieveFrom(session, token));
    EXPECT_EQ(ReadWord(memory, 64), token ^ 0xff);
  }
}

CONTINUITY_TEST(SessionContinuity, EmptySession, NothingRecord,
                "A session without files comes back")
ARM(SessionContinuity, EmptySession) {
  ASSERT_OK_AND_ASSIGN(LiveUpdateSession session, CreateExtraSession(1));
  Continuity::Get().KeepSession(std::move(session));
}
VERIFY(SessionContinuity, EmptySession) {
  ASSERT_OK_AND_ASSIGN(const LiveUpdateSession session, RetrieveExtraSession(1));
  EXPECT_OK(session.Finish());
}

CONTINUITY_TEST(SessionContinuity, ClosedSessionIsNotCarried, NothingRecord,
                "A session closed before the kexec does not come back")
ARM(SessionContinuity, ClosedSessionIsNotCarried) {
  ASSERT_OK_AND_ASSIGN(const LiveUpdateSession session, CreateExtraSession(1));
  ASSERT_OK_AND_ASSIGN(const UniqueFd memory, NumberedMemfd(1));
  ASSERT_OK(session.Preserve(memory.get(), 1));
}
VERIFY(SessionContinuity, ClosedSessionIsNotCarried) {
  EXPECT_THAT(RetrieveSession(SessionNameOf(TestName(), 1)), FailsWith(ENOENT));
}

CONTINUITY_TEST(SessionContinuity, NameIsKept, NothingRecord, "The kernel tells the session's name")
ARM(SessionContinuity, NameIsKept) { ArmGrid(1, 1); }
VERIFY(SessionContinuity, NameIsKept) {
  ASSERT_OK_AND_ASSIGN(const LiveUpdateSession session, RetrieveExtraSession(1));
  ASSERT_OK_AND_ASSIGN(const std::string name, session.KernelName());
  EXPECT_EQ(name, SessionNameOf(TestName(), 1));
}

// Rules of an incoming session: luo_session_retrieve(), luo_session_ioctl(), luo_retrieve_file().
CONTINUITY_TEST(
    SessionContinuity, IncomingRules, NothingRecord,
    "Second retrieve EINVAL, unknown token ENOENT, preserve EINVAL, file twice the same")
ARM(SessionContinuity, IncomingRules) { ArmGrid(1, 2); }
VERIFY(SessionContinuity, IncomingRules) {
  ASSERT_OK_AND_ASSIGN(const LiveUpdateSession session, RetrieveExtraSession(1));
  EXPECT_THAT(RetrieveSession(session.name()), FailsWith(EINVAL));
  EXPECT_THAT(session.Retrieve(99), FailsWith(ENOENT));
  ASSERT_OK_AND_ASSIGN(const UniqueFd other, MakeMemfd(4096));
  EXPECT_THAT(session.Preserve(other.get(), 3), FailsWith(EINVAL));

  ASSERT_OK_AND_ASSIGN(const UniqueFd first, RetrieveFrom(session, 1));
  ASSERT_OK_AND_ASSIGN(const UniqueFd again, RetrieveFrom(session, 1));
  WriteWord(first, 128, 0xabcd);
  EXPECT_EQ(ReadWord(again, 128), 0xabcdU) << "two retrieves of one token gave two files";
}

CONTINUITY_TEST(SessionContinuity, FinishedSessionIsForgotten, NothingRecord,
                "After finish the token is gone, after close the name; retrieved files stay")
ARM(SessionContinuity, FinishedSessionIsForgotten) { ArmGrid(1, 2); }
VERIFY(SessionContinuity, FinishedSessionIsForgotten) {
  UniqueFd memory;
  {
    ASSERT_OK_AND_ASSIGN(const LiveUpdateSession session, RetrieveExtraSession(1));
    ASSERT_OK_AND_ASSIGN(memory, RetrieveFrom(session, 1));
    ASSERT_OK(session.Finish());
    EXPECT_THAT(session.Retrieve(2), FailsWith(ENOENT));
  }
  EXPECT_THAT(RetrieveSession(SessionNameOf(TestName(), 1)), FailsWith(ENOENT));
  EXPECT_EQ(ReadWord(memory, 64), Number(1, 1));
}

CONTINUITY_TEST(SessionContinuity, ClosingFinishes, NothingRecord,
                "Closing an incoming session finishes it: retrieved files stay, the name is gone")
ARM(SessionContinuity, ClosingFinishes) { ArmGrid(1, 2); }
VERIFY(SessionContinuity, ClosingFinishes) {
  UniqueFd memory;
  {
    ASSERT_OK_AND_ASSIGN(const LiveUpdateSession session, RetrieveExtraSession(1));
    ASSERT_OK_AND_ASSIGN(memory, RetrieveFrom(session, 2));
  }
  EXPECT_THAT(RetrieveSession(SessionNameOf(TestName(), 1)), FailsWith(ENOENT));
  EXPECT_EQ(ReadWord(memory, 64), Number(1, 2));
}

// luo_preserved_files knows the outgoing files only; the inode of a retrieved file is new.
CONTINUITY_TEST(SessionContinuity, RetrievedFileCanBePreservedAfterFinish, NothingRecord,
                "A retrieved file can be preserved again after finish")
ARM(SessionContinuity, RetrievedFileCanBePreservedAfterFinish) { ArmGrid(1, 1); }
VERIFY(SessionContinuity, RetrievedFileCanBePreservedAfterFinish) {
  ASSERT_OK_AND_ASSIGN(const LiveUpdateSession session, RetrieveExtraSession(1));
  ASSERT_OK_AND_ASSIGN(const UniqueFd memory, RetrieveFrom(session, 1));
  ASSERT_OK(session.Finish());
  ASSERT_OK_AND_ASSIGN(const LiveUpdateSession next, CreateSession("rules-after-finish"));
  EXPECT_OK(next.Preserve(memory.get(), 1));
}

// What waits for the kexec is woken by a stop, by io_uring's task work, by a debugger (signal(7)).
CONTINUITY_TEST(SessionContinuity, HolderIsStoppedAndContinued, NothingRecord,
                "Sessions stay open when the process that holds them is stopped and continued")
ARM(SessionContinuity, HolderIsStoppedAndContinued) {
  ArmGrid(1, 1);
  const pid_t holder = getpid();
  std::array<int, 2> ends{-1, -1};
  ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0) << strerrordesc_np(errno);
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  const pid_t child = fork();
  ASSERT_NE(child, -1) << strerrordesc_np(errno);
  if (child != 0) {
    // Until the child has closed all that it inherited: tests after this one close device files,
    // and expect them to be closed.
    write_end = UniqueFd();
    ASSERT_OK(AwaitReadable(read_end.get(), Deadline::After(std::chrono::seconds(5))));
    return;
  }
  // The sessions: only the holder may keep them. The pipe last.
  const auto last = static_cast<unsigned>(write_end.get());
  (void)close_range(0, last - 1, 0);
  (void)close_range(last + 1, ~0U, 0);
  (void)close_range(last, last, 0);
  for (int i = 0; i < 50; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    (void)kill(holder, SIGSTOP);
    (void)kill(holder, SIGCONT);
  }
  std::_Exit(0);
}
VERIFY(SessionContinuity, HolderIsStoppedAndContinued) { VerifyGrid({1}, {1}); }

// Generations: the same memory over several kexecs, changed in between.
struct GenerationRecord {
  std::uint64_t token;
  std::uint64_t last_word;
};

CONTINUITY_CHAIN(
    SessionContinuity, KexecAfterKexec, GenerationRecord, 3,
    "Memory goes over kexec after kexec; each kernel adds its word and keeps the others'")
ARM(SessionContinuity, KexecAfterKexec) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd memory, NumberedMemfd(1));
  record.last_word = 0x6e00;
  WriteWord(memory, 512, record.last_word);
  ASSERT_OK_AND_ASSIGN(record.token, Preserve(memory.get()));
}
VERIFY(SessionContinuity, KexecAfterKexec) {
  ASSERT_OK_AND_ASSIGN(memory_, Retrieve(record.token));
  EXPECT_EQ(ReadWord(memory_, 64), 1U);
  EXPECT_EQ(record.last_word, 0x6e00U + generation() - 1) << "the ledger's record is stale";
  for (std::uint32_t g = 0; g < generation(); ++g) {
    EXPECT_EQ(ReadWord(memory_, 512 + 8 * g), 0x6e00U + g) << "word of generation " << g;
  }
  EXPECT_EQ(ReadWord(memory_, 512 + 8 * generation()), 0U);
}
CARRY(SessionContinuity, KexecAfterKexec) {
  record.last_word = 0x6e00 + generation();
  WriteWord(memory_, 512 + 8 * generation(), record.last_word);
  ASSERT_OK_AND_ASSIGN(record.token, Preserve(memory_.get()));
}

}  // namespace
}  // namespace carryover
