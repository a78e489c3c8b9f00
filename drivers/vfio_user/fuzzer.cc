// SPDX-License-Identifier: GPL-2.0-only
// The bytes of whole sessions, from libFuzzer (Debian: clang-19, libclang-rt-19-dev):
//
//   cmake --preset fuzz && cmake --build --preset fuzz
//   build/fuzz/drivers/vfio_user/vfio_user_fuzzer -max_total_time=600 -max_len=65536 CORPUS
#include <cstddef>
#include <cstdint>
#include <span>

#include "drivers/vfio_user/fuzz_session.h"

// NOLINTNEXTLINE(readability-identifier-naming): the name is libFuzzer's
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kMost = std::size_t{64} * 1024;
  if (size > kMost) return -1;
  (void)carryover::vfio_user::RunSession(std::as_bytes(std::span(data, size)));
  return 0;
}
