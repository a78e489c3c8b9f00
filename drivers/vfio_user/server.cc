// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/vfio_user/server.h"

#include <fmt/format.h>
#include <linux/vfio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>

#include "drivers/access/poll_deadline.h"

namespace carryover::vfio_user {
namespace {

constexpr std::uint16_t kMinor = 1;  // the version that we know is 0.1
constexpr std::uint32_t kConfigRegion = VFIO_PCI_CONFIG_REGION_INDEX;

std::optional<InterruptKind> KindOf(std::uint32_t irq_index) {
  switch (irq_index) {
    case VFIO_PCI_INTX_IRQ_INDEX:
      return InterruptKind::kIntx;
    case VFIO_PCI_MSI_IRQ_INDEX:
      return InterruptKind::kMsi;
    case VFIO_PCI_MSIX_IRQ_INDEX:
      return InterruptKind::kMsix;
    default:
      return std::nullopt;
  }
}

const char* NameOf(InterruptKind kind) {
  if (kind == InterruptKind::kIntx) return "INTx";
  return kind == InterruptKind::kMsi ? "MSI" : "MSI-X";
}

std::uint64_t LoadLittleEndian(std::span<const std::byte> bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) {
    value = value << 8 | std::to_integer<std::uint64_t>(bytes[i]);
  }
  return value;
}

bool IsEventfd(int fd) {
  std::array<char, 32> target{};
  const std::string link = fmt::format("/proc/self/fd/{}", fd);
  const ssize_t length = readlink(link.c_str(), target.data(), target.size());
  return length > 0 && std::string_view(target.data(), static_cast<std::size_t>(length)) ==
                           "anon_inode:[eventfd]";
}

// False if it has been signalled so often that a write would wait for its reader.
bool Signal(int eventfd) {
  pollfd writable{.fd = eventfd, .events = POLLOUT, .revents = 0};
  const auto ready = PollDeadline({&writable, 1}, Deadline::After(std::chrono::seconds(0)));
  return ready && *ready && eventfd_write(eventfd, 1) == 0;
}

bool IsAccessSize(std::size_t offset, std::size_t size) {
  return (size == 1 || size == 2 || size == 4 || size == 8) && offset % size == 0;
}

}  // namespace

Server::Server(UniqueFd socket, const MakeModel& make, EventLog& log,
               std::chrono::nanoseconds patience, DmaWay way)
    : connection_(std::move(socket)),
      log_(log),
      patience_(patience),
      model_(make(*this)),
      config_(model_->identity()) {
  if (way == DmaWay::kRogue) memory_.emplace();
  log_.Write("connected");
}

Result<std::optional<DeviceModel::Clock::time_point>> Server::Step() {
  // A peer that never pauses must not keep the caller from all else.
  constexpr int kMessages = 64;
  for (int i = 0; i < kMessages; ++i) {
    model_->Work();
    LogViolations();
    if (failure_) return std::unexpected(*failure_);
    pollfd readable{.fd = connection_.fd(), .events = POLLIN, .revents = 0};
    const auto ready = PollDeadline({&readable, 1}, Deadline::After(std::chrono::seconds(0)));
    if (!ready) return std::unexpected(ready.error());
    if (!*ready) return model_->NextDue();
    const auto received = Receive(Deadline::After(patience_), nullptr);
    if (!received) return std::unexpected(received.error());
  }
  return DeviceModel::Clock::now();
}

Result<bool> Server::Receive(Deadline deadline, const Header* asked) {
  auto message = connection_.Receive(deadline);
  if (!message) return std::unexpected(message.error());
  if (!*message) return Fail(kEnded, "the other side has closed the connection");
  const Header& header = (*message)->header;
  if (header.is_reply()) {
    // No request is ever given up: there is no reply to another.
    if (asked == nullptr || header.id != asked->id || header.command != asked->command) {
      return Fail(EPROTO, fmt::format("a reply to no request: id {}, command {}", header.id,
                                      static_cast<unsigned>(header.command)));
    }
    reply_ = std::move(**message);
    return true;
  }
  if (auto answered = Answer(**message); !answered) return std::unexpected(answered.error());
  return false;
}

Result<void> Server::Answer(Message& request) {
  const Header& header = request.header;
  auto answer = AnswerTo(request);
  const auto command = static_cast<unsigned>(header.command);
  if (!answer && answer.error().code == EPROTO) {
    return Fail(EPROTO, fmt::format("command {}: {}", command, answer.error().message));
  }
  if (!answer) log_.Write("refused", {{"command", command}, {"why", answer.error().message}});
  if (!header.wants_reply()) return {};
  Header reply{.id = header.id, .command = header.command, .flags = Header::kReply};
  if (!answer) {
    reply.flags |= Header::kError;
    reply.error = static_cast<std::uint32_t>(answer.error().code);
  }
  return connection_.Send(reply, answer ? *answer : Payload(), Deadline::After(patience_));
}

Result<Server::Payload> Server::AnswerTo(Message& request) {
  const std::span<const std::byte> payload = request.payload;
  const Command command = request.header.command;
  if ((command == Command::kVersion) == agreed_) {
    return Fail(EPROTO, agreed_ ? "a version once more" : "no version before it");
  }
  if (request.fds.size() > FdsOf(command)) {
    return Fail(EPROTO, fmt::format("{} descriptors", request.fds.size()));
  }
  switch (command) {
    case Command::kVersion:
      return AnswerVersion(payload);
    case Command::kDmaMap:
      return AnswerDmaMap(payload, request.fds);
    case Command::kDmaUnmap:
      return AnswerDmaUnmap(payload);
    case Command::kGetInfo:
      return AnswerInfo(payload);
    case Command::kGetRegionInfo:
      return AnswerRegionInfo(payload);
    case Command::kGetIrqInfo:
      return AnswerIrqInfo(payload);
    case Command::kSetIrqs:
      return AnswerSetIrqs(payload, std::move(request.fds));
    case Command::kRegionRead:
      return ReadRegion(payload);
    case Command::kRegionWrite:
      return WriteRegion(payload);
    case Command::kReset:
      ResetFunction("machine");
      return Payload();
    default:
      return Fail(ENOTSUP, "no such request");
  }
}

Result<Server::Payload> Server::AnswerVersion(std::span<const std::byte> payload) {
  const auto proposal = ParseVersion(payload);
  if (!proposal) return std::unexpected(proposal.error());
  const Version proposed = proposal->version;
  if (proposed.major != 0) {
    return Fail(ENOTSUP, fmt::format("version {}.{}", proposed.major, proposed.minor));
  }
  agreed_ = true;
  max_transfer_ = std::min(kMaxTransfer, proposal->max_transfer);
  const nlohmann::json capabilities{
      {"capabilities",
       {{"max_msg_fds", kMaxFds},
        {"max_data_xfer_size", kMaxTransfer},
        {"max_dma_maps", std::numeric_limits<std::uint16_t>::max()}}}};
  Payload answer;
  Append(answer, Version{.major = 0, .minor = std::min(proposed.minor, kMinor)});
  const std::string text = capabilities.dump();
  const auto bytes = std::as_bytes(std::span(text.c_str(), text.size() + 1));
  answer.insert(answer.end(), bytes.begin(), bytes.end());
  return answer;
}

// Of use to a rogue alone.
Result<Server::Payload> Server::AnswerDmaMap(std::span<const std::byte> payload,
                                             std::span<const UniqueFd> fds) {
  const auto map = ParseDmaMap(payload);
  if (!map) return std::unexpected(map.error());
  if (memory_ && !fds.empty()) {
    if (auto mapped = memory_->Map(*map, fds.front()); !mapped) {
      return std::unexpected(mapped.error());
    }
  }
  return Payload();
}

// Of a range, in which there may be nothing: QEMU unmaps more than it has mapped.
Result<Server::Payload> Server::AnswerDmaUnmap(std::span<const std::byte> payload) {
  const auto unmap = ParseDmaUnmap(payload);
  if (!unmap) return std::unexpected(unmap.error());
  if ((unmap->flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP) != 0) {
    return Fail(ENOTSUP, "dirty pages are not tracked");
  }
  if (memory_) memory_->Unmap(unmap->address, unmap->size);
  Payload answer;
  Append(answer, *unmap);
  return answer;
}

Result<Server::Payload> Server::AnswerInfo(std::span<const std::byte> payload) {
  if (auto info = ParseGetInfo(payload); !info) return std::unexpected(info.error());
  Payload answer;
  Append(answer, std::array<std::uint32_t, 4>{16, VFIO_DEVICE_FLAGS_RESET | VFIO_DEVICE_FLAGS_PCI,
                                              VFIO_PCI_NUM_REGIONS, VFIO_PCI_NUM_IRQS});
  return answer;
}

std::size_t Server::RegionSize(std::uint32_t region) const {
  if (region == kConfigRegion) return ConfigSpace::kSize;
  const auto& bars = model_->identity().bars;
  const auto found = std::ranges::find(bars, region, &ModelBar::index);
  return found == bars.end() ? 0 : found->size;
}

Result<Server::Payload> Server::AnswerRegionInfo(std::span<const std::byte> payload) const {
  const auto index = ParseGetRegionInfo(payload);
  if (!index) return std::unexpected(index.error());
  if (*index >= VFIO_PCI_NUM_REGIONS) return Fail(EINVAL, fmt::format("region {}", *index));
  const std::size_t size = RegionSize(*index);
  Payload answer;
  Append(answer,
         vfio_region_info{.argsz = sizeof(vfio_region_info),
                          .flags = size == 0 ? 0U
                                             : static_cast<__u32>(VFIO_REGION_INFO_FLAG_READ |
                                                                  VFIO_REGION_INFO_FLAG_WRITE),
                          .index = *index,
                          .cap_offset = 0,
                          .size = size,
                          .offset = 0});
  return answer;
}

unsigned Server::VectorsOf(std::uint32_t irq_index) const {
  const ModelIdentity& identity = model_->identity();
  switch (irq_index) {
    case VFIO_PCI_INTX_IRQ_INDEX:
      return identity.intx ? 1 : 0;
    case VFIO_PCI_MSI_IRQ_INDEX:
      return identity.msi_vectors;
    case VFIO_PCI_MSIX_IRQ_INDEX:
      return identity.msix_vectors;
    default:
      return 0;
  }
}

Result<Server::Payload> Server::AnswerIrqInfo(std::span<const std::byte> payload) const {
  const auto index = ParseGetIrqInfo(payload);
  if (!index) return std::unexpected(index.error());
  if (*index >= VFIO_PCI_NUM_IRQS) return Fail(EINVAL, fmt::format("IRQ {}", *index));
  const unsigned count = VectorsOf(*index);
  Payload answer;
  Append(answer, vfio_irq_info{.argsz = sizeof(vfio_irq_info),
                               .flags = count == 0 ? 0U : VFIO_IRQ_INFO_EVENTFD,
                               .index = *index,
                               .count = count});
  return answer;
}

Result<Server::Payload> Server::AnswerSetIrqs(std::span<const std::byte> payload,
                                              std::vector<UniqueFd> fds) {
  const auto set = ParseSetIrqs(payload, fds.size());
  if (!set) return std::unexpected(set.error());
  const auto kind = KindOf(set->index);
  if (!kind) return Payload();  // the kernel's own, which a model does not raise
  const unsigned vectors = VectorsOf(set->index);
  if (set->start > vectors || set->count > vectors - set->start) {
    return Fail(EINVAL, fmt::format("{} vectors from {} of {}", set->count, set->start, vectors));
  }
  // A level is not kept here: there is nothing to mask.
  if ((set->flags & VFIO_IRQ_SET_ACTION_TRIGGER) == 0) return Payload();
  if ((set->flags & VFIO_IRQ_SET_DATA_NONE) != 0 && set->count == 0) {
    std::erase_if(vectors_, [kind](const auto& entry) { return entry.first.first == *kind; });
    return Payload();
  }
  if ((set->flags & VFIO_IRQ_SET_DATA_EVENTFD) == 0) {
    return Fail(ENOTSUP, fmt::format("set IRQs with flags {:#x}", set->flags));
  }
  for (const UniqueFd& fd : fds) {
    if (!IsEventfd(fd.get())) return Fail(EINVAL, "a descriptor that is no eventfd");
  }
  // No descriptors: these vectors have none from now on.
  for (std::uint32_t i = 0; i < set->count; ++i) {
    const auto key = std::pair(*kind, set->start + i);
    vectors_.erase(key);
    if (!fds.empty()) vectors_.emplace(key, std::move(fds[i]));
  }
  return Payload();
}

Result<Server::Payload> Server::ReadRegion(std::span<const std::byte> payload) {
  const auto access = ParseRegionRead(payload);
  if (!access) return std::unexpected(access.error());
  const std::size_t size = RegionSize(access->region);
  if (access->offset > size || access->count > size - access->offset) {
    return Fail(EINVAL, fmt::format("{} bytes at {:#x} of region {}", access->count, access->offset,
                                    access->region));
  }
  Payload answer;
  Append(answer, *access);
  answer.resize(answer.size() + access->count);
  const std::span<std::byte> data = std::span(answer).subspan(sizeof(RegionAccess));
  if (access->region == kConfigRegion) {
    config_.Read(access->offset, data);
    return answer;
  }
  if (auto read = ReadBar(access->region, access->offset, data); !read) {
    return std::unexpected(read.error());
  }
  return answer;
}

Result<Server::Payload> Server::WriteRegion(std::span<const std::byte> payload) {
  const auto access = ParseRegionWrite(payload);
  if (!access) return std::unexpected(access.error());
  const std::size_t size = RegionSize(access->region);
  if (access->offset > size || access->count > size - access->offset) {
    return Fail(EINVAL, fmt::format("{} bytes at {:#x} of region {}", access->count, access->offset,
                                    access->region));
  }
  const auto data = payload.subspan(sizeof(RegionAccess));
  Payload answer;
  Append(answer, *access);
  if (access->region == kConfigRegion) {
    WriteConfig(access->offset, data);
    return answer;
  }
  if (auto written = WriteBar(access->region, access->offset, data); !written) {
    return std::unexpected(written.error());
  }
  return answer;
}

bool Server::InMsix(unsigned bar, std::size_t offset, std::size_t size) const {
  const ModelIdentity& identity = model_->identity();
  return identity.msix_vectors != 0 && bar == identity.msix_bar &&
         offset + size > identity.msix_offset && offset < identity.msix_offset + kMsixSize;
}

Result<void> Server::ReadBar(unsigned bar, std::size_t offset, std::span<std::byte> to) {
  // QEMU has the table. No vector is pending here: those that cannot be sent wait in the eventfd.
  if (InMsix(bar, offset, to.size())) return {};
  if (!IsAccessSize(offset, to.size())) {
    return Fail(EINVAL, fmt::format("a read of {} bytes at {:#x}", to.size(), offset));
  }
  const std::uint64_t value = model_->Read(bar, offset, to.size());
  for (std::size_t i = 0; i < to.size(); ++i) {
    to[i] = static_cast<std::byte>(value >> (8 * i) & 0xff);
  }
  return {};
}

Result<void> Server::WriteBar(unsigned bar, std::size_t offset, std::span<const std::byte> from) {
  if (InMsix(bar, offset, from.size())) return {};
  if (!IsAccessSize(offset, from.size())) {
    return Fail(EINVAL, fmt::format("a write of {} bytes at {:#x}", from.size(), offset));
  }
  model_->Write(bar, offset, from.size(), LoadLittleEndian(from));
  return {};
}

void Server::WriteConfig(std::size_t offset, std::span<const std::byte> from) {
  const bool master = config_.bus_master();
  const bool d3hot = config_.in_d3hot();
  const bool reset = config_.Write(offset, from);
  if (config_.bus_master() != master) log_.Write("master", {{"on", config_.bus_master()}});
  if (config_.in_d3hot() != d3hot) log_.Write("d3hot", {{"on", config_.in_d3hot()}});
  if (reset) ResetFunction("function");
}

void Server::ResetFunction(const char* by) {
  log_.Write("reset", {{"by", by}});
  config_.Reset();
  model_->ResetFunction();
}

Result<bool> Server::Exchange(Command command, const Payload& payload) {
  if (failure_) return std::unexpected(*failure_);
  const Header request{.id = next_id_++, .command = command};
  const Deadline deadline = Deadline::After(patience_);
  if (auto sent = connection_.Send(request, payload, deadline); !sent) {
    return std::unexpected(sent.error());
  }
  while (!deadline.Passed()) {
    const auto replied = Receive(deadline, &request);
    if (!replied) return replied;
    if (*replied) return (reply_.header.flags & Header::kError) == 0;
  }
  return Fail(ETIMEDOUT, "requests, but no reply to ours");
}

Result<bool> Server::ReadPart(const DmaAccess& access, std::span<std::byte> to) {
  Payload request;
  Append(request, access);
  const auto done = Exchange(Command::kDmaRead, request);
  if (!done || !*done) return done;
  const auto data = ParseDmaReadReply(reply_.payload, access);
  if (!data) return std::unexpected(data.error());
  std::ranges::copy(*data, to.begin());
  return true;
}

Result<bool> Server::WritePart(const DmaAccess& access, std::span<const std::byte> from) {
  Payload request;
  Append(request, access);
  request.insert(request.end(), from.begin(), from.end());
  const auto done = Exchange(Command::kDmaWrite, request);
  if (!done || !*done) return done;
  if (auto reply = ParseDmaWriteReply(reply_.payload, access); !reply) {
    return std::unexpected(reply.error());
  }
  return true;
}

bool Server::Succeeded(const Result<bool>& part) {
  if (!part) failure_ = part.error();
  return part && *part;
}

bool Server::AskRead(Iova iova, std::span<std::byte> to) {
  bool ok = !config_.in_d3hot();
  for (std::size_t done = 0; ok && done < to.size();) {
    const auto part = to.subspan(done, std::min(max_transfer_, to.size() - done));
    ok = Succeeded(ReadPart({.address = iova + done, .count = part.size()}, part));
    done += part.size();
  }
  return ok;
}

bool Server::AskWrite(Iova iova, std::span<const std::byte> from) {
  bool ok = !config_.in_d3hot();
  for (std::size_t done = 0; ok && done < from.size();) {
    const auto part = from.subspan(done, std::min(max_transfer_, from.size() - done));
    ok = Succeeded(WritePart({.address = iova + done, .count = part.size()}, part));
    done += part.size();
  }
  return ok;
}

bool Server::DmaRead(Iova iova, std::span<std::byte> to) {
  const bool ok = memory_ ? memory_->Read(iova, to) : AskRead(iova, to);
  log_.Write("dma", {{"write", false}, {"address", iova}, {"length", to.size()}, {"ok", ok}});
  return ok;
}

bool Server::DmaWrite(Iova iova, std::span<const std::byte> from) {
  const bool ok = memory_ ? memory_->Write(iova, from) : AskWrite(iova, from);
  log_.Write("dma", {{"write", true}, {"address", iova}, {"length", from.size()}, {"ok", ok}});
  return ok;
}

void Server::Raise(InterruptKind kind, unsigned vector) {
  const auto found = vectors_.find({kind, vector});
  const bool sent = !config_.in_d3hot() && found != vectors_.end() && Signal(found->second.get());
  log_.Write("interrupt", {{"kind", NameOf(kind)}, {"vector", vector}, {"sent", sent}});
}

void Server::LogViolations() {
  const auto& violations = model_->violations();
  for (; logged_violations_ < violations.size(); ++logged_violations_) {
    log_.Write("violation", {{"what", violations[logged_violations_]}});
  }
}

}  // namespace carryover::vfio_user
