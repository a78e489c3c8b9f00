// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/vfio_user/program/control.h"

#include <gmock/gmock.h>

#include "drivers/vfio_user/program/models.h"

namespace carryover::vfio_user {
namespace {

using testing::HasSubstr;

class Nowhere final : public ModelHost {
  bool DmaRead(Iova, std::span<std::byte>) override { return false; }
  bool DmaWrite(Iova, std::span<const std::byte>) override { return false; }
  void Raise(InterruptKind, unsigned) override {}
};

class ModelControl : public testing::Test {
 protected:
  [[nodiscard]] std::string Ask(std::string_view request) { return Request(request, model_.get()); }

  Nowhere host_;
  std::unique_ptr<DeviceModel> model_ = FindModel("dmac")->make(host_);
};

TEST_F(ModelControl, TakesEveryFault) {
  for (const auto* request : {R"({"hung": true})", R"({"hung": false})", R"({"let_through": 3})",
                              R"({"reset_stuck": true, "fail_next_copy": true})"}) {
    EXPECT_EQ(Ask(request), R"({"ok":true})") << request;
  }
}

TEST_F(ModelControl, RefusesWhatIsNoFault) {
  for (const auto& [request, why] : std::initializer_list<std::pair<const char*, const char*>>{
           {"", "not JSON"},
           {"{", "not JSON"},
           {"[]", "expected an object"},
           {"{}", "expected an object"},
           {R"({"hung": 1})", "hung: expected true or false"},
           {R"({"let_through": 0})", "above 0"},
           {R"({"let_through": -1})", "above 0"},
           {R"({"fail_next_copy": false})", "expected true"},
           {R"({"explode": true})", "'explode': no such fault"}}) {
    EXPECT_THAT(Ask(request), HasSubstr(why)) << request;
    EXPECT_THAT(Ask(request), HasSubstr("error")) << request;
  }
}

TEST_F(ModelControl, SaysThatNobodyIsConnected) {
  EXPECT_THAT(Request(R"({"hung": true})", nullptr), HasSubstr("nobody is connected"));
}

TEST(Models, AreFoundByName) {
  EXPECT_EQ(FindModel("nothing"), nullptr);
  for (const NamedModel& model : Models()) EXPECT_EQ(FindModel(model.name), &model);
  EXPECT_THAT(ModelNames(), HasSubstr("dmac"));
}

}  // namespace
}  // namespace carryover::vfio_user
