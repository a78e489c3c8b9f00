// SPDX-License-Identifier: GPL-2.0-only
// carryover-model: a process that is a PCI device, for QEMU's vfio-user-pci.
#include <fmt/format.h>
#include <sys/socket.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <optional>

#include "drivers/access/poll_deadline.h"
#include "drivers/access/termination_signals.h"
#include "drivers/access/unix_socket.h"
#include "drivers/vfio_user/program/control.h"
#include "drivers/vfio_user/program/models.h"

namespace carryover::vfio_user {
namespace {

struct Options {
  std::string device;
  std::string socket;
  std::string log;
  std::string control;
  std::uint64_t bandwidth = 0;
  bool once = false;
};

class Program {
 public:
  Program(const NamedModel& model, std::uint64_t bandwidth, UniqueFd listener, UniqueFd control,
          UniqueFd signals, EventLog log)
      : model_(model),
        bandwidth_(bandwidth),
        listener_(std::move(listener)),
        control_(std::move(control)),
        signals_(std::move(signals)),
        log_(std::move(log)) {}

  // Until a signal ends it; `once`: or the first connection's end.
  Result<void> Run(bool once) {
    while (true) {
      if (auto stepped = Step(); !stepped) return std::unexpected(stepped.error());
      if (ended_ && once) return {};
      ended_ = false;
      std::array<pollfd, 3> wanted{
          {{.fd = signals_.get(), .events = POLLIN, .revents = 0},
           {.fd = control_.get(), .events = POLLIN, .revents = 0},
           {.fd = server_ ? server_->fd() : listener_.get(), .events = POLLIN, .revents = 0}}};
      const auto ready =
          PollDeadline(wanted, due_ ? Deadline::At(*due_) : Deadline::After(std::chrono::hours(1)));
      if (!ready) return std::unexpected(ready.error());
      if (wanted[0].revents != 0) return {};
      if (wanted[1].revents != 0) {
        ServeControl(control_.get(), server_ ? &server_->model() : nullptr, log_);
      }
      if (wanted[2].revents != 0 && !server_) {
        UniqueFd socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (!socket.valid()) return FailErrno("accept");
        server_.emplace(std::move(socket), model_.make, log_, Server::kPatience, model_.way);
        server_->model().SetBandwidth(bandwidth_);
      }
    }
  }

 private:
  Result<void> Step() {
    due_.reset();
    if (!server_) return {};
    const auto due = server_->Step();
    if (due) {
      due_ = *due;
      return {};
    }
    log_.Write("disconnected", {{"why", due.error().ToString()}});
    if (due.error().code != Server::kEnded) {
      fmt::print(stderr, "carryover-model: {}\n", due.error().ToString());
    }
    server_.reset();
    ended_ = true;
    return {};
  }

  const NamedModel& model_;
  std::uint64_t bandwidth_;
  UniqueFd listener_;
  UniqueFd control_;
  UniqueFd signals_;
  EventLog log_;
  std::optional<Server> server_;
  std::optional<DeviceModel::Clock::time_point> due_;
  bool ended_ = false;
};

Result<void> Run(const Options& options) {
  const NamedModel* model = FindModel(options.device);
  auto signals = TakeTerminationSignals();
  if (!signals) return std::unexpected(signals.error());
  EventLog log;
  if (!options.log.empty()) {
    auto opened = EventLog::Open(options.log);
    if (!opened) return std::unexpected(opened.error());
    log = std::move(*opened);
  }
  UniqueFd control;
  if (!options.control.empty()) {
    auto bound = BindUnixSocket(options.control, SOCK_DGRAM);
    if (!bound) return std::unexpected(bound.error());
    control = std::move(*bound);
  }
  auto listener = BindUnixSocket(options.socket, SOCK_STREAM);
  if (!listener) return std::unexpected(listener.error());
  if (listen(listener->get(), 1) != 0) return FailErrno("listen");
  fmt::print("ready\n");
  (void)std::fflush(stdout);
  return Program(*model, options.bandwidth, std::move(*listener), std::move(control),
                 std::move(*signals), std::move(log))
      .Run(options.once);
}

}  // namespace
}  // namespace carryover::vfio_user

// NOLINTNEXTLINE(bugprone-exception-escape): an exception that nobody expects ends the program.
int main(int argc, char** argv) {
  using namespace carryover::vfio_user;  // NOLINT(google-build-using-namespace)
  Options options;
  CLI::App app{"A process that is a PCI device, for QEMU's vfio-user-pci."};
  std::vector<std::string> names;
  for (const NamedModel& model : Models()) names.emplace_back(model.name);
  app.add_option("--device", options.device, "Which device: " + ModelNames())
      ->required()
      ->check(CLI::IsMember(names));
  app.add_option("--socket", options.socket, "Where QEMU connects to; \"ready\" says that it can")
      ->required();
  app.add_option("--log", options.log, "Append what the device does to FILE, as JSON lines");
  app.add_option("--control", options.control, "A datagram socket that takes faults");
  app.add_option("--bandwidth", options.bandwidth,
                 "Bytes that dsa and ioat copy in a second at most; 0, the default: no limit");
  app.add_flag("--once", options.once, "End with the first connection");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (const auto done = Run(options); !done) {
    fmt::print(stderr, "carryover-model: {}\n", done.error().ToString());
    return 1;
  }
  return 0;
}
