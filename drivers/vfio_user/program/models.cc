// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/vfio_user/program/models.h"

#include <algorithm>
#include <array>

#include "drivers/dmac/model/dmac_model.h"
#include "drivers/dsa/model/dsa_model.h"
#include "drivers/edu/model/edu_model.h"
#include "drivers/ioat/model/ioat_model.h"
#include "drivers/vfio_user/program/idle_model.h"

namespace carryover::vfio_user {
namespace {

template <typename Model>
std::unique_ptr<DeviceModel> Make(ModelHost& host) {
  return std::make_unique<Model>(host);
}

}  // namespace

std::span<const NamedModel> Models() {
  static constexpr std::array kModels{
      NamedModel{.name = "dmac", .make = Make<dmac::DmacModel>},
      NamedModel{.name = "dsa", .make = Make<dsa::DsaModel>},
      NamedModel{.name = "edu", .make = Make<edu::EduModel>},
      NamedModel{.name = "idle", .make = Make<IdleModel>},
      NamedModel{.name = "ioat", .make = Make<ioat::IoatModel>},
      NamedModel{.name = "rogue", .make = Make<dmac::DmacModel>, .way = DmaWay::kRogue},
  };
  return kModels;
}

const NamedModel* FindModel(std::string_view name) {
  const auto models = Models();
  const auto found = std::ranges::find(models, name, &NamedModel::name);
  return found == models.end() ? nullptr : &*found;
}

std::string ModelNames() {
  std::string names;
  for (const NamedModel& model : Models()) {
    if (!names.empty()) names += ", ";
    names += model.name;
  }
  return names;
}

}  // namespace carryover::vfio_user
