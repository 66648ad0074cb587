#include "io/grid.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "io/frame.hpp"

namespace {

using namespace raincell::io;

struct Place {
  const char* name;
  const char* projection;
  double longitude, latitude, x, y, tolerance;
};

// Reference coordinates computed with pyproj on the attributes of real files.
const Place kPlaces[] = {
    {"opera_ul", "+proj=laea +lat_0=55.0 +lon_0=10.0 +x_0=1950000.0 +y_0=-2100000.0 +units=m +ellps=WGS84",
     -39.5357864125034, 67.0228327624372, 0., 0., 0.01},
    {"opera_lr", "+proj=laea +lat_0=55.0 +lon_0=10.0 +x_0=1950000.0 +y_0=-2100000.0 +units=m +ellps=WGS84",
     29.421038635578, 31.987650276733, 3800000., -4400000., 0.01},
    {"rmi_ul",
     "+proj=lcc +lat_1=49.83333333333334 +lat_2=51.16666666666666 +lat_0=50.797815 +lon_0=4.359215833333333 "
     "+x_0=649328 +y_0=665262 +ellps=GRS80 +units=m",
     -0.9254649843189054, 53.692855918413244, 300000., 1000000., 0.5},
    {"dwd_ul",
     "+proj=stere +lat_0=90 +lat_ts=60 +lon_0=10 +x_0=543196.83521776402 +y_0=3622588.8619310018 +a=6378137 "
     "+b=6356752.3142451802",
     1.46330151, 55.86208711, -500., 500., 0.01},
    {"dwd_lr",
     "+proj=stere +lat_0=90 +lat_ts=60 +lon_0=10 +x_0=543196.83521776402 +y_0=3622588.8619310018 +a=6378137 "
     "+b=6356752.3142451802",
     16.58086935, 45.68460578, 1099500., -1199500., 0.01},
    {"knmi_ll", "+proj=stere +lat_0=90 +lon_0=0 +lat_ts=60 +a=6378.137 +b=6356.752 +x_0=0 y_0=0", 0., 49.362,
     0., -4415007., 1.},
    {"knmi_ur", "+proj=stere +lat_0=90 +lon_0=0 +lat_ts=60 +a=6378.137 +b=6356.752 +x_0=0 y_0=0", 10.856,
     55.389, 699972., -3649998., 1.},
    {"bom_ul", "+proj=aea +lat_1=-26.2 +lat_2=-29.3 +lon_0=153.24 +lat_0=-27.7178 +a=6378137 +b=6356752.3142",
     151. + 57. / 60. + 18.63 / 3600., -(26. + 33. / 60. + 24.95 / 3600.), -128000., 128000., 1.},
};

class Places : public testing::TestWithParam<Place> {};

TEST_P(Places, LongitudeAndLatitudeFallWhereTheReferenceSays) {
  const Place& place = GetParam();
  Grid grid;
  grid.projection = clean_projection(place.projection);
  const auto [x, y] = from_lonlat(grid, place.longitude, place.latitude);
  EXPECT_NEAR(x, place.x, place.tolerance);
  EXPECT_NEAR(y, place.y, place.tolerance);
  const auto [longitude, latitude] = to_lonlat(grid, place.x, place.y);
  EXPECT_NEAR(longitude, place.longitude, 1e-5 * std::max(1., place.tolerance));
  EXPECT_NEAR(latitude, place.latitude, 1e-5 * std::max(1., place.tolerance));
}

TEST_P(Places, CfParametersGiveTheSamePlaceBack) {
  const Place& place = GetParam();
  Grid grid;
  grid.projection = clean_projection(place.projection);
  const CfGridMapping mapping = cf_grid_mapping(grid);
  ASSERT_FALSE(mapping.name.empty());
  grid.projection = projection_from_cf(mapping);
  const auto [x, y] = from_lonlat(grid, place.longitude, place.latitude);
  EXPECT_NEAR(x, place.x, place.tolerance);
  EXPECT_NEAR(y, place.y, place.tolerance);
}

TEST_P(Places, WktPlacesTheSame) {
  const Place& place = GetParam();
  Grid grid;
  grid.projection = clean_projection(place.projection);
  grid.projection = crs_wkt(grid);
  const auto [x, y] = from_lonlat(grid, place.longitude, place.latitude);
  EXPECT_NEAR(x, place.x, place.tolerance);
  EXPECT_NEAR(y, place.y, place.tolerance);
}

INSTANTIATE_TEST_SUITE_P(Reference, Places, testing::ValuesIn(kPlaces),
                         [](const auto& place) { return std::string(place.param.name); });

TEST(Grid, CfNamesAndParametersOfPolarStereographic) {
  Grid grid;
  grid.projection = "+proj=stere +lat_0=90 +lon_0=10 +lat_ts=60 +x_0=5 +y_0=7 +ellps=WGS84 +units=m";
  const CfGridMapping mapping = cf_grid_mapping(grid);
  EXPECT_EQ(mapping.name, "polar_stereographic");
  EXPECT_EQ(mapping.parameters.at("standard_parallel"), std::vector<double>{60.});
  EXPECT_EQ(mapping.parameters.at("straight_vertical_longitude_from_pole"), std::vector<double>{10.});
  EXPECT_EQ(mapping.parameters.at("latitude_of_projection_origin"), std::vector<double>{90.});
  EXPECT_EQ(mapping.parameters.at("false_easting"), std::vector<double>{5.});
  EXPECT_EQ(mapping.parameters.at("semi_major_axis"), std::vector<double>{6378137.});
  EXPECT_NEAR(mapping.parameters.at("inverse_flattening").front(), 298.257223563, 1e-9);
}

TEST(Grid, SameGridIsDecidedByPlaceNotBySpelling) {
  Grid a{"+proj=laea +lat_0=55 +lon_0=10 +x_0=1950000 +y_0=-2100000 +units=m +ellps=WGS84",
         1900,
         2200,
         0.,
         0.,
         2000.,
         2000.};
  Grid b = a;
  b.projection = "+proj=laea +lon_0=10.0 +lat_0=55.0 +y_0=-2100000.0 +x_0=1950000.0 +datum=WGS84";
  b.x0 = 2.5;  // NIMBUS' rounded corners
  EXPECT_TRUE(same_grid(a, b));
  b.x0 = 700.;
  EXPECT_FALSE(same_grid(a, b));
  b = a;
  b.columns = 1901;
  EXPECT_FALSE(same_grid(a, b));
  b = a;
  b.projection = "+proj=laea +lat_0=55.5 +lon_0=10 +x_0=1950000 +y_0=-2100000 +units=m +ellps=WGS84";
  EXPECT_FALSE(same_grid(a, b));
  b = a;
  b.dx = 2000.5;  // 950 m wider at the right edge
  EXPECT_FALSE(same_grid(a, b));
}

TEST(Grid, CropMovesTheCorner) {
  const Grid grid{"", 100, 80, 1000., 9000., 10., 20.};
  const Grid part = crop(grid, 3, 5, 7, 11);
  EXPECT_EQ(part.rows, 7);
  EXPECT_EQ(part.columns, 11);
  EXPECT_EQ(part.x0, 1050.);
  EXPECT_EQ(part.y0, 8940.);
  EXPECT_THROW(crop(grid, 78, 0, 3, 1), DataError);
}

TEST(Grid, ProjectionsThatCouldOpenFilesAreRefused) {
  for (const char* text : {"+proj=pipeline +step +proj=hgridshift +grids=/etc/passwd", "+init=epsg:28992",
                           "+proj=laea +nadgrids=/etc/passwd", "+proj=laea +lat_0=x",
                           "+proj=laea +geoidgrids=a", "nonsense", "", "+proj=laea +ellps=../../etc"}) {
    EXPECT_THROW(clean_projection(text), DataError) << text;
  }
}

TEST(Grid, MessagesNameTheProjection) {
  try {
    to_lonlat(Grid{}, 0., 0.);
    FAIL();
  } catch (const DataError& error) {
    EXPECT_NE(std::string(error.what()).find("no projection"), std::string::npos);
  }
}

}  // namespace
