#include "io/transform.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace raincell::io {
namespace {

TEST(Transform, DbzIsTheMarshallPalmerReflectivity) {
  const Transform transform;
  EXPECT_NEAR(transform.to_network(1.F), 23.0103 / 60., 1e-6);  // 10 log10(200)
  EXPECT_NEAR(transform.to_network(10.F), 39.0103 / 60., 1e-6);
  EXPECT_EQ(transform.to_network(1000.F), 1.F);  // 71 dBZ, above the ceiling
  EXPECT_EQ(transform.to_network(0.01F), 0.F);   // -9 dBZ, below the floor
}

TEST(Transform, LogAndLinearAsWritten) {
  Transform transform = Transform::parse("log_eps epsilon=0.01 max=100");
  EXPECT_NEAR(transform.to_network(100.F), 1., 1e-6);
  EXPECT_NEAR(transform.to_network(1.F),
              (std::log(1.01) - std::log(0.01)) / (std::log(100.01) - std::log(0.01)), 1e-6);
  transform = Transform::parse("linear max=50");
  EXPECT_EQ(transform.to_network(25.F), 0.5F);
}

TEST(Transform, GrowthIsThatOfTheRainWithTheNetworksValue) {
  for (const auto& [text, constant] : {std::pair{"log_eps epsilon=0.5 max=60", 0.5F}, {"dbz a=200 b=1.6 floor=0 ceiling=60", 0.F}}) {
    const Transform transform = Transform::parse(text);
    const double ratio = (transform.to_physical(0.8F) + constant) / (transform.to_physical(0.3F) + constant);
    EXPECT_NEAR(std::log(ratio), 0.5 * transform.growth(), 1e-4) << text;
  }
  EXPECT_EQ(Transform::parse("linear max=50").growth(), 0.);
  EXPECT_EQ(Transform::parse("dbz floor=-20 ceiling=70 quantity=reflectivity").growth(), 0.);
}

TEST(Transform, DryAndMissingAreExactlyZeroThereAndBack) {
  for (const char* text : {"dbz a=200 b=1.6 floor=0 ceiling=60", "dbz a=200 b=1.6 floor=-10 ceiling=60",
                           "log_eps epsilon=0.01 max=100", "linear max=100",
                           "dbz a=200 b=1.6 floor=0 ceiling=60 quantity=reflectivity"}) {
    const Transform transform = Transform::parse(text);
    EXPECT_EQ(transform.to_network(0.F), 0.F) << text;
    EXPECT_EQ(transform.to_network(kMissing), 0.F) << text;
    EXPECT_EQ(transform.to_physical(0.F), 0.F) << text;
    EXPECT_EQ(transform.to_physical(-0.3F), 0.F) << text;
    EXPECT_EQ(Transform::parse(transform.text()).text(), transform.text());
  }
  EXPECT_EQ(Transform{}.text(), "dbz a=200 b=1.6 floor=0 ceiling=60");
}

TEST(Transform, InverseGivesBackTheRain) {
  for (const char* text :
       {"dbz a=200 b=1.6 floor=0 ceiling=60", "log_eps epsilon=0.01 max=100", "linear max=100"}) {
    const Transform transform = Transform::parse(text);
    for (const float rain : {0.1F, 0.5F, 1.F, 7.3F, 30.F, 90.F}) {
      EXPECT_NEAR(transform.to_physical(transform.to_network(rain)), rain, 2e-5F * rain) << text;
    }
  }
  const Transform dbz = Transform::parse("dbz floor=-20 ceiling=70 quantity=reflectivity");
  EXPECT_NEAR(dbz.to_physical(dbz.to_network(-15.5F)), -15.5, 1e-4);
}

TEST(Transform, SpansCarryTheMask) {
  const std::vector<float> physical{kMissing, 0.F, 10.F};
  std::vector<float> network(3), mask(3);
  Transform{}.to_network(physical, network, mask);
  EXPECT_EQ(mask, (std::vector<float>{0.F, 1.F, 1.F}));
  EXPECT_EQ(network[0], 0.F);
  EXPECT_EQ(network[1], 0.F);
  EXPECT_GT(network[2], 0.6F);
}

TEST(Transform, ChangesKeepTheirSignAndNoneIsZero) {
  for (const char* text : {"dbz floor=-20", "log_eps epsilon=0.01 max=100", "linear max=100",
                           "dbz floor=-20 ceiling=70 quantity=reflectivity"}) {
    const Transform transform = Transform::parse(text);
    EXPECT_EQ(transform.change_to_network(0.F), 0.F) << text;
    EXPECT_EQ(transform.change_to_network(kMissing), 0.F) << text;
    EXPECT_NEAR(transform.change_to_network(1e-4F), 0., 2e-3) << text;
    EXPECT_GT(transform.change_to_network(3.F), transform.change_to_network(1.F)) << text;
    EXPECT_EQ(transform.change_to_network(-3.F), -transform.change_to_network(3.F)) << text;
  }
  EXPECT_FLOAT_EQ(Transform::parse("linear max=10").change_to_network(-2.F), -0.2F);
  EXPECT_FLOAT_EQ(
      Transform::parse("dbz floor=-20 ceiling=70 quantity=reflectivity").change_to_network(4.5F), 0.05F);
}

TEST(Transform, RefusesNonsense) {
  for (const char* text : {"", "cube", "dbz a=0", "dbz floor=60", "linear max=x", "linear max=nan", "dbz q=1",
                           "dbz quantity=snow"}) {
    EXPECT_THROW(Transform::parse(text), DataError) << text;
  }
}

}  // namespace
}  // namespace raincell::io
