// SPDX-License-Identifier: GPL-2.0-only
#include <gmock/gmock.h>

#include "drivers/access/machine_use.h"

namespace carryover {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

const Use kLoopbackIsSsh{"lo", "carries the SSH connection"};

// The loopback address stands for the address of a management interface.
TEST(NetworkUseTest, FindsTheInterfaceOfTheSshConnection) {
  for (const std::string connection :
       {"127.0.0.1 40000 127.0.0.1 22", "::ffff:127.0.0.1 40000 ::ffff:127.0.0.1 22"}) {
    const auto used = InterfacesInUse(connection);
    ASSERT_TRUE(used) << used.error().ToString();
    EXPECT_THAT(*used, Contains(kLoopbackIsSsh)) << connection;
  }
}

TEST(NetworkUseTest, NeedsNoSshConnection) {
  const auto used = InterfacesInUse("");
  ASSERT_TRUE(used) << used.error().ToString();
  EXPECT_THAT(*used, Not(Contains(kLoopbackIsSsh)));
}

// It cannot be told which interface carries the connection: that must not pass for none.
TEST(NetworkUseTest, FailsForAnAddressThatIsNotHere) {
  const auto used = InterfacesInUse("198.51.100.1 40000 198.51.100.2 22");
  ASSERT_FALSE(used);
  EXPECT_EQ(used.error().code, EADDRNOTAVAIL);
  EXPECT_THAT(used.error().message, HasSubstr("198.51.100.2"));
}

}  // namespace
}  // namespace carryover
