// SPDX-License-Identifier: GPL-2.0-only
// Against the kernel's own headers (include/uapi/linux/virtio_*.h), which follow the specification.
#include "drivers/virtio/registers.h"

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>

#include "drivers/virtio/ring.h"

namespace carryover::virtio {
namespace {

static_assert(Common::kDeviceFeatureSelect == VIRTIO_PCI_COMMON_DFSELECT);
static_assert(Common::kDeviceFeature == VIRTIO_PCI_COMMON_DF);
static_assert(Common::kDriverFeatureSelect == VIRTIO_PCI_COMMON_GFSELECT);
static_assert(Common::kDriverFeature == VIRTIO_PCI_COMMON_GF);
static_assert(Common::kConfigVector == VIRTIO_PCI_COMMON_MSIX);
static_assert(Common::kNumQueues == VIRTIO_PCI_COMMON_NUMQ);
static_assert(Common::kStatus == VIRTIO_PCI_COMMON_STATUS);
static_assert(Common::kGeneration == VIRTIO_PCI_COMMON_CFGGENERATION);
static_assert(Common::kQueueSelect == VIRTIO_PCI_COMMON_Q_SELECT);
static_assert(Common::kQueueSize == VIRTIO_PCI_COMMON_Q_SIZE);
static_assert(Common::kQueueVector == VIRTIO_PCI_COMMON_Q_MSIX);
static_assert(Common::kQueueEnable == VIRTIO_PCI_COMMON_Q_ENABLE);
static_assert(Common::kQueueNotifyOff == VIRTIO_PCI_COMMON_Q_NOFF);
static_assert(Common::kQueueDesc == VIRTIO_PCI_COMMON_Q_DESCLO);
static_assert(Common::kQueueDriver == VIRTIO_PCI_COMMON_Q_AVAILLO);
static_assert(Common::kQueueDevice == VIRTIO_PCI_COMMON_Q_USEDLO);
static_assert(Capability::kType == offsetof(virtio_pci_cap, cfg_type));
static_assert(Capability::kBar == offsetof(virtio_pci_cap, bar));
static_assert(Capability::kOffset == offsetof(virtio_pci_cap, offset));
static_assert(Capability::kSize == offsetof(virtio_pci_cap, length));
static_assert(Capability::kNotifyMultiplier ==
              offsetof(virtio_pci_notify_cap, notify_off_multiplier));
static_assert(Status::kRunning == (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
                                   VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FEATURES_OK));
static_assert(Status::kNeedsReset == VIRTIO_CONFIG_S_NEEDS_RESET);
static_assert(Feature::kSizeMax == 1ULL << VIRTIO_BLK_F_SIZE_MAX);
static_assert(Feature::kSegMax == 1ULL << VIRTIO_BLK_F_SEG_MAX);
static_assert(Feature::kReadOnly == 1ULL << VIRTIO_BLK_F_RO);
static_assert(Feature::kBlockSize == 1ULL << VIRTIO_BLK_F_BLK_SIZE);
static_assert(Feature::kMultiQueue == 1ULL << VIRTIO_BLK_F_MQ);
static_assert(Feature::kVersion1 == 1ULL << VIRTIO_F_VERSION_1);
static_assert(Feature::kAccessPlatform == 1ULL << VIRTIO_F_ACCESS_PLATFORM);
static_assert(BlockConfig::kSizeMax == offsetof(virtio_blk_config, size_max));
static_assert(BlockConfig::kSegMax == offsetof(virtio_blk_config, seg_max));
static_assert(BlockConfig::kBlockSize == offsetof(virtio_blk_config, blk_size));
static_assert(BlockConfig::kNumQueues == offsetof(virtio_blk_config, num_queues));
static_assert(RequestHeader::kIn == VIRTIO_BLK_T_IN && RequestHeader::kOut == VIRTIO_BLK_T_OUT);
static_assert(RequestHeader::kGetId == VIRTIO_BLK_T_GET_ID);
static_assert(RequestHeader::kIdBytes == VIRTIO_BLK_ID_BYTES);
static_assert(offsetof(RequestHeader, sector) == offsetof(virtio_blk_outhdr, sector));
static_assert(kOk == VIRTIO_BLK_S_OK && kIoError == VIRTIO_BLK_S_IOERR);
static_assert(kUnsupported == VIRTIO_BLK_S_UNSUPP);
// linux/virtio_ring.h is no C++: 2.7.5, 2.7.6, 2.7.8.
static_assert(Descriptor::kNext == 1 && Descriptor::kWrite == 2 && sizeof(UsedElement) == 8);
static_assert(Available<4>::kNoInterrupt == 1 && offsetof(Available<4>, index) == 2);
static_assert(offsetof(Available<4>, ring) == 4 && offsetof(Used<4>, ring) == 4);

}  // namespace
}  // namespace carryover::virtio
