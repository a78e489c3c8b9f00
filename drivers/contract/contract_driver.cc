// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/contract/contract_driver.h"

#include <fmt/format.h>
#include <linux/pci_regs.h>

#include <chrono>
#include <cstring>
#include <limits>
#include <thread>

namespace carryover {
namespace {

constexpr std::size_t kPage = 4096;

DmaRegion RingsOf(DmaRegion region) {
  return {.memory = region.memory.subspan(ContractDriver::kStateSize),
          .iova = region.iova + ContractDriver::kStateSize};
}

// The region's memory may be a device's view of it, too: whole objects are copied in and out.
SavedState Load(DmaRegion region) {
  SavedState state;
  std::memcpy(&state, region.memory.data(), sizeof(state));
  return state;
}

void Store(DmaRegion region, const SavedState& state) {
  std::memcpy(region.memory.data(), &state, sizeof(state));
}

}  // namespace

Result<void> ContractDriver::Require(State state, std::string_view operation) const {
  if (state_ == state) return {};
  constexpr std::string_view kNames[] = {"stopped", "running", "quiesced", "failed"};
  return Fail(state_ == State::kFailed ? EIO : EINVAL,
              fmt::format("{}: {}: the driver is {}", name(), operation,
                          kNames[static_cast<std::size_t>(state_)]));
}

Result<void> ContractDriver::FailedUnless(Result<void> done) {
  if (!done) state_ = State::kFailed;
  return done;
}

Result<void> ContractDriver::CheckRegion(DmaRegion region) const {
  const std::size_t needed = traits().region_size;
  if (region.memory.size() >= needed && region.iova % kPage == 0 &&
      reinterpret_cast<std::uintptr_t>(region.memory.data()) % kPage == 0) {
    return {};
  }
  return Fail(EINVAL, fmt::format("{}: the region must be page aligned and hold {} bytes; it has "
                                  "{} at IOVA {:#x}",
                                  name(), needed, region.memory.size(), region.iova));
}

Result<void> ContractDriver::Start(DmaRegion region, Deadline deadline) {
  state_ = State::kStopped;
  if (auto usable = CheckRegion(region); !usable) return usable;
  if (auto opened = engine_->Open(); !opened) return opened;
  region_ = region;
  Store(region, SavedState{.magic = 0});
  if (auto reset = engine_->Reset(deadline); !reset) return reset;
  if (auto master = device_.SetBusMaster(true); !master) return master;
  if (auto up = engine_->BringUp(RingsOf(region), deadline); !up) return up;
  state_ = State::kRunning;
  return {};
}

Result<void> ContractDriver::CheckCopy(const DmaCopy& copy) const {
  constexpr Iova kLast = std::numeric_limits<Iova>::max();
  if (copy.length != 0 && copy.length <= traits().max_copy_bytes &&
      (copy.source | copy.destination | copy.length) % traits().alignment == 0 &&
      std::max(copy.source, copy.destination) <= kLast - (copy.length - 1)) {
    return engine_->CheckCopy(copy);
  }
  return Fail(EINVAL, fmt::format("{}: a copy of {} bytes from IOVA {:#x} to {:#x}: a copy has 1 "
                                  "to {} bytes, is aligned to {}, and does not end beyond the last "
                                  "IOVA",
                                  name(), copy.length, copy.source, copy.destination,
                                  traits().max_copy_bytes, traits().alignment));
}

Result<void> ContractDriver::Copy(std::span<const DmaCopy> copies) {
  if (auto running = Require(State::kRunning, "Copy()"); !running) return running;
  for (const DmaCopy& copy : copies) {
    if (auto fit = CheckCopy(copy); !fit) return fit;
  }
  if (copies.empty()) return {};
  if (!engine_->HasRoom(copies)) {
    return Fail(ENOSPC, fmt::format("{}: {} more copies do not fit beside {} outstanding pieces: "
                                    "Wait() first",
                                    name(), copies.size(), engine_->Outstanding()));
  }
  engine_->Post(copies);
  return {};
}

Result<void> ContractDriver::WaitPosted(Deadline deadline) {
  constexpr unsigned kSpins = 100;
  for (unsigned idle = 0; engine_->Outstanding() != 0;) {
    const bool last = deadline.Passed();  // what is done by the deadline still counts
    const auto reaped = engine_->Reap();
    if (!reaped) return std::unexpected(reaped.error());
    if (*reaped) {
      idle = 0;
      continue;
    }
    if (last) {
      if (auto present = engine_->CheckPresent("Wait()"); !present) return present;
      return Fail(ETIMEDOUT, fmt::format("{}: {} posted pieces of work are not done", name(),
                                         engine_->Outstanding()));
    }
    if (++idle < kSpins) continue;
    // An MMIO read stops a virtual CPU: only now and then.
    if (idle % kSpins == 0) {
      if (auto present = engine_->CheckPresent("Wait()"); !present) return present;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
  return {};
}

Result<void> ContractDriver::Wait(Deadline deadline) {
  if (auto running = Require(State::kRunning, "Wait()"); !running) return running;
  if (engine_->Outstanding() == 0) return engine_->CheckPresent("Wait()");
  return FailedUnless(WaitPosted(deadline));
}

Result<void> ContractDriver::ReapAll() {
  while (engine_->Outstanding() != 0) {
    const auto reaped = engine_->Reap();
    if (!reaped) return std::unexpected(reaped.error());
    if (!*reaped) return engine_->CheckPresent("Poll()");
  }
  return {};
}

Result<std::size_t> ContractDriver::Poll() {
  if (auto running = Require(State::kRunning, "Poll()"); !running) {
    return std::unexpected(running.error());
  }
  if (auto reaped = FailedUnless(ReapAll()); !reaped) return std::unexpected(reaped.error());
  return engine_->Outstanding();
}

Result<void> ContractDriver::RaiseInterrupt(unsigned vector) {
  if (auto running = Require(State::kRunning, "RaiseInterrupt()"); !running) return running;
  if (auto present = engine_->CheckPresent("RaiseInterrupt()"); !present) return present;
  const auto vectors = device_.InterruptVectors(traits().interrupt);
  if (!vectors) return std::unexpected(vectors.error());
  if (vector < traits().vector || vector >= *vectors) {
    return Fail(EINVAL, fmt::format("{}: RaiseInterrupt(): vector {} is none of {} to {}", name(),
                                    vector, traits().vector, *vectors - 1));
  }
  auto raised = engine_->RaiseInterrupt(vector);
  if (!raised && raised.error().code != ENOSPC) state_ = State::kFailed;
  return raised;
}

Result<void> ContractDriver::Quiesce(Deadline deadline) {
  if (state_ == State::kQuiesced) return {};
  if (auto running = Require(State::kRunning, "Quiesce()"); !running) return running;
  if (auto halted = FailedUnless(engine_->Halt(deadline)); !halted) return halted;
  state_ = State::kQuiesced;
  return {};
}

Result<void> ContractDriver::Resume(Deadline deadline) {
  if (auto quiesced = Require(State::kQuiesced, "Resume()"); !quiesced) return quiesced;
  if (auto going = FailedUnless(engine_->Continue(deadline)); !going) return going;
  state_ = State::kRunning;
  return {};
}

Result<void> ContractDriver::Save() {
  if (state_ != State::kQuiesced) {
    if (auto running = Require(State::kRunning, "Save()"); !running) return running;
  }
  const bool goes_over = traits().hands_over_posted && state_ == State::kRunning;
  // Newer positions leave less to be found by who attaches.
  if (goes_over) {
    if (auto reaped = FailedUnless(ReapAll()); !reaped) return reaped;
  }
  const std::size_t outstanding = engine_->Outstanding();
  if (outstanding != 0 && !goes_over) {
    return Fail(EBUSY, fmt::format("{}: Save(): {} posted pieces of work were not waited for",
                                   name(), outstanding));
  }
  if (auto present = engine_->CheckPresent("Save()"); !present) return present;
  if (outstanding != 0) engine_->StorePosted();
  Store(region_, SavedState::Of(name(), device_.id(), region_.iova, engine_->Positions(),
                                state_ == State::kRunning));
  return {};
}

Result<bool> ContractDriver::BusMasterOn() {
  const auto command = device_.ReadConfig(PCI_COMMAND, 2);
  if (!command) return std::unexpected(command.error());
  return (*command & PCI_COMMAND_MASTER) != 0;
}

Result<void> ContractDriver::Attach(DmaRegion region) {
  if (auto stopped = Require(State::kStopped, "Attach()"); !stopped) return stopped;
  if (auto usable = CheckRegion(region); !usable) return usable;
  const SavedState saved = Load(region);
  if (auto ours = saved.CheckFor(name(), device_.id(), region.iova); !ours) return ours;
  if (auto opened = engine_->Open(); !opened) return opened;
  if (auto present = engine_->CheckPresent("Attach()"); !present) return present;
  const auto master = BusMasterOn();
  if (!master) return std::unexpected(master.error());
  if (!*master) {
    return Fail(EIO, fmt::format("{}: Attach(): bus master is off: the device is not as it was "
                                 "saved",
                                 name()));
  }
  const bool running = saved.running != 0;
  if (auto taken = engine_->TakeOver(RingsOf(region), saved.positions, running); !taken) {
    return taken;
  }
  region_ = region;
  state_ = running ? State::kRunning : State::kQuiesced;
  return {};
}

Result<void> ContractDriver::Stop(Deadline deadline) {
  state_ = State::kStopped;
  Result<void> first = engine_->Open();
  if (first) first = engine_->Reset(deadline);
  if (first) first = engine_->PutBack(deadline);
  const auto master = device_.SetBusMaster(false);
  return first ? master : first;
}

}  // namespace carryover
