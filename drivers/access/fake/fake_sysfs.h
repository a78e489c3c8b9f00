// SPDX-License-Identifier: GPL-2.0-only
// A sysfs tree in a temporary folder, and a kernel that answers writes to it.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "drivers/access/sysfs.h"

namespace carryover {

class FakeSysfs {
 public:
  FakeSysfs();
  FakeSysfs(const FakeSysfs&) = delete;
  FakeSysfs& operator=(const FakeSysfs&) = delete;
  ~FakeSysfs();

  [[nodiscard]] const std::filesystem::path& root() const { return root_; }
  // Its writes are answered by this object, which must outlive it.
  [[nodiscard]] Sysfs sysfs();

  // A function of the root bus, without driver.
  void AddFunction(const PciAddress& address, const PciId& id,
                   std::optional<unsigned> iommu_group = std::nullopt);
  // A driver of these ids, as the kernel's tables have it; vfio-pci has none.
  void AddDriver(const std::string& name, std::set<PciId> ids);
  void SetDriver(const PciAddress& address, const std::optional<std::string>& driver);
  void SetOverride(const PciAddress& address, const std::string& driver);
  // A folder below the function's, as an interface or a disk has; returns it.
  std::filesystem::path AddObject(const PciAddress& address, const std::string& relative);
  // A link ROOT/`name`, as the folders below class/ and dev/ have.
  void Link(const std::string& name, const std::filesystem::path& target);
  void WriteFile(const std::string& name, std::string_view text);

  // This driver takes a function as soon as it is unbound, as one that probes by itself would.
  void set_greedy_driver(const std::string& name) { greedy_ = name; }
  // Writes to attributes of this name fail.
  void FailWrites(const std::string& attribute, int error) { failing_[attribute] = error; }
  void LetWrites(const std::string& attribute) { failing_.erase(attribute); }
  // All writes so far: path below the root, and value.
  [[nodiscard]] const std::vector<std::pair<std::string, std::string>>& writes() const {
    return writes_;
  }

 private:
  [[nodiscard]] Result<void> Answer(const std::filesystem::path& attribute, std::string_view value);
  [[nodiscard]] Result<void> Bind(const PciAddress& address, const std::string& driver);
  [[nodiscard]] bool Matches(const PciAddress& address, const std::string& driver);
  [[nodiscard]] std::filesystem::path FunctionPath(const PciAddress& address) const;

  std::filesystem::path root_;
  std::map<std::string, std::set<PciId>> drivers_;
  std::string greedy_;
  std::map<std::string, int> failing_;
  std::vector<std::pair<std::string, std::string>> writes_;
};

}  // namespace carryover
