// SPDX-License-Identifier: GPL-2.0-only
#include "selftests/program/handover_owner.h"

#include <fmt/format.h>

#include <charconv>
#include <fstream>
#include <sstream>

namespace carryover {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kWord = "carryover.owner=";
// What a kernel's command line may be long (COMMAND_LINE_SIZE) is for others.
constexpr std::size_t kLongest = 256;

std::string FirstLine(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

bool IsPlain(char c) {
  return ('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z') || ('0' <= c && c <= '9') ||
         std::string_view("-_.:/").find(c) != std::string_view::npos;
}

std::string BootId(const HandoverRoots& roots) {
  return FirstLine(roots.proc / "sys/kernel/random/boot_id");
}

fs::path Mark(const HandoverRoots& roots) { return roots.run / "verified"; }

}  // namespace

std::string OwnerWord(std::string_view owner) {
  std::string word(kWord);
  for (const char c : owner.substr(0, kLongest)) {
    word += IsPlain(c) ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return word;
}

std::optional<std::string> OwnerOf(std::string_view command_line) {
  std::istringstream words{std::string(command_line)};
  std::optional<std::string> owner;  // the last one counts, as with the kernel's own words
  for (std::string word; words >> word;) {
    if (!word.starts_with(kWord)) continue;
    owner.emplace();
    for (std::size_t i = kWord.size(); i < word.size(); ++i) {
      unsigned code = 0;
      const char* const digits = word.data() + i + 1;
      if (word[i] == '%' && i + 2 < word.size() &&
          std::from_chars(digits, digits + 2, code, 16).ptr == digits + 2) {
        *owner += static_cast<char>(code);
        i += 2;
      } else {
        *owner += word[i];
      }
    }
  }
  return owner;
}

std::optional<std::string> OwnerOfUnverified(const HandoverRoots& roots) {
  auto owner = OwnerOf(FirstLine(roots.proc / "cmdline"));
  if (!owner || FirstLine(Mark(roots)) == BootId(roots)) return std::nullopt;
  return owner;
}

Result<void> MarkVerified(const HandoverRoots& roots) {
  std::error_code error;
  fs::create_directories(roots.run, error);
  std::ofstream file(Mark(roots));
  file << BootId(roots) << '\n';
  file.close();
  if (!file) return FailErrno("write " + Mark(roots).string());
  return {};
}

}  // namespace carryover
