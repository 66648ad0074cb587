// Images for a web map, decoded again by Cairo, and places worked out with Snyder's formulas and PROJ.
#include "io/overlay.hpp"

#include <cairo.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numbers>

#include "io/colours.hpp"
#include "refusal.hpp"
#include "tests/io/png_reader.hpp"

namespace raincell::io {
namespace {

constexpr double kDegree = std::numbers::pi / 180.;

struct Image {
  int columns = 0, rows = 0;
  std::vector<std::uint32_t> pixels;  // alpha, red, green, blue; colours times alpha
  std::uint32_t at(std::int64_t column, std::int64_t row) const {
    return pixels.at(static_cast<std::size_t>(row * columns + column));
  }
};

Image decode(const std::vector<std::uint8_t>& png) {
  std::size_t used = 0;
  cairo_surface_t* surface = read_png(png, used);
  EXPECT_EQ(cairo_surface_status(surface), CAIRO_STATUS_SUCCESS);
  EXPECT_EQ(cairo_image_surface_get_format(surface), CAIRO_FORMAT_ARGB32);
  EXPECT_EQ(used, png.size()) << "bytes after the end";
  Image image{cairo_image_surface_get_width(surface), cairo_image_surface_get_height(surface), {}};
  image.pixels.resize(static_cast<std::size_t>(image.columns) * static_cast<std::size_t>(image.rows));
  const unsigned char* bytes = cairo_image_surface_get_data(surface);
  for (int row = 0; row < image.rows; ++row) {
    std::memcpy(&image.pixels[static_cast<std::size_t>(row) * static_cast<std::size_t>(image.columns)],
                bytes + row * cairo_image_surface_get_stride(surface),
                4U * static_cast<unsigned>(image.columns));
  }
  cairo_surface_destroy(surface);
  return image;
}

constexpr std::uint32_t kTransparent = 0;
bool is_grey_veil(std::uint32_t pixel) {
  const std::uint32_t alpha = pixel >> 24;
  return alpha > 50 && alpha < 200;
}
std::uint32_t opaque(const Colour& colour) {
  return 0xff000000U | (std::uint32_t{colour.red} << 16) | (std::uint32_t{colour.green} << 8) | colour.blue;
}

/// KNMI's composites since 2008, as in their files.
Grid dutch_grid() {
  return {"+proj=stere +lat_0=90 +lon_0=0 +lat_ts=60 +a=6378137 +b=6356752 +x_0=0 +y_0=0",
          700,
          765,
          0.,
          -3650000.,
          1000.,
          1000.};
}
Grid degrees(std::int64_t columns, std::int64_t rows, double west, double north, double step) {
  return {"+proj=longlat +ellps=WGS84", columns, rows, west, north, step, step};
}

/// Column and row of the Dutch grid's pixel under a place: polar stereographic on the ellipsoid, Snyder
/// (1987), 21-33 to 21-36.
std::pair<double, double> by_snyder(double longitude, double latitude) {
  const double a = 6378137., b = 6356752., e = std::sqrt(1. - b * b / (a * a));
  const auto t = [&](double phi) {
    const double s = e * std::sin(phi);
    return std::tan(std::numbers::pi / 4. - phi / 2.) / std::pow((1. - s) / (1. + s), e / 2.);
  };
  const double true_scale = 60. * kDegree, s = e * std::sin(true_scale);
  const double m = std::cos(true_scale) / std::sqrt(1. - s * s);
  const double rho = a * m * t(latitude * kDegree) / t(true_scale);
  const double x = rho * std::sin(longitude * kDegree), y = -rho * std::cos(longitude * kDegree);
  return {x / 1000., (-3650000. - y) / 1000.};
}

/// Column and row of an image under a place: EPSG:3857 on the sphere of 6378137 m.
std::pair<double, double> on_image(const OverlayFrame& frame, double longitude, double latitude) {
  const auto northing = [](double phi) {
    return 6378137. * std::log(std::tan(std::numbers::pi / 4. + phi * kDegree / 2.));
  };
  const double top = northing(frame.north), bottom = northing(frame.south);
  return {(longitude - frame.west) / (frame.east - frame.west) * static_cast<double>(frame.columns),
          (top - northing(latitude)) / (top - bottom) * static_cast<double>(frame.rows)};
}

TEST(Overlay, TheFrameOfAGridInDegreesIsItsEdges) {
  const OverlayFrame frame = Overlay(degrees(100, 100, 4., 53., 0.02), Quantity::rain_rate).frame();
  EXPECT_NEAR(frame.west, 4., 1e-9);
  EXPECT_NEAR(frame.east, 6., 1e-9);
  EXPECT_NEAR(frame.north, 53., 1e-9);
  EXPECT_NEAR(frame.south, 51., 1e-9);
  EXPECT_EQ(frame.columns, 100);
  // Mercator's y of 53 and 51 degrees: 62.729 and 59.478 degrees; in steps of 0.02.
  EXPECT_NEAR(static_cast<double>(frame.rows), 163., 1.);
}

TEST(Overlay, TheFrameOfTheDutchGridIsWhatKnmiSaysOfItsCorners) {
  // geo_product_corners of the files: (0, 49.362), (0, 55.974), (10.856, 55.389), (9.009, 48.895).
  const OverlayFrame frame = Overlay(dutch_grid(), Quantity::rain_rate).frame();
  EXPECT_NEAR(frame.south, 48.895, 2e-3);
  EXPECT_NEAR(frame.north, 55.974, 2e-3);
  EXPECT_NEAR(frame.west, 0., 2e-3);
  EXPECT_NEAR(frame.east, 10.856, 2e-3);
  EXPECT_LE(std::max(frame.columns, frame.rows), 1600);
  EXPECT_GE(std::min(frame.columns, frame.rows), 700);
}

TEST(Overlay, LonePixelsAppearWhereTheirLongitudesAndLatitudesSay) {
  const Grid grid = dutch_grid();
  const Overlay overlay(grid, Quantity::rain_rate);
  const ColourScale scale = colour_scale(Quantity::rain_rate);
  std::vector<float> values(static_cast<std::size_t>(grid.pixels()), 0.F);
  struct Mark {
    std::int64_t row, column;
    std::size_t level;
  };
  std::vector<Mark> marks;
  for (std::int64_t row = 0; row < grid.rows; row += 17) {
    for (std::int64_t column = 0; column < grid.columns; column += 13) {
      marks.push_back({row, column, marks.size() % scale.colours.size()});
      values[static_cast<std::size_t>(row * grid.columns + column)] =
          static_cast<float>(scale.bounds[marks.back().level]) * 1.01F;
    }
  }
  const Image image = decode(overlay.png(values));
  ASSERT_EQ(image.columns, overlay.frame().columns);
  ASSERT_EQ(image.rows, overlay.frame().rows);
  const double half_a_pixel = 0.5;
  for (const Mark& mark : marks) {
    const auto [longitude, latitude] =
        to_lonlat(grid, (static_cast<double>(mark.column) + half_a_pixel) * 1000.,
                  -3650000. - (static_cast<double>(mark.row) + half_a_pixel) * 1000.);
    const auto [x, y] = on_image(overlay.frame(), longitude, latitude);
    EXPECT_EQ(image.at(static_cast<std::int64_t>(x), static_cast<std::int64_t>(y)),
              opaque(scale.colours[mark.level]))
        << mark.row << ", " << mark.column;
    // Two grid pixels on, dry again: where the marks lie is known to a pixel.
    for (const double away : {-3., 3.}) {
      const auto column = static_cast<std::int64_t>(x + away), row = static_cast<std::int64_t>(y);
      if (column < 0 || column >= image.columns) continue;
      EXPECT_NE(image.at(column, row), opaque(scale.colours[mark.level]));
    }
  }
}

TEST(Overlay, ThePixelUnderAPlaceIsThatOfSnydersFormula) {
  const Overlay overlay(dutch_grid(), Quantity::rain_rate);
  struct Place {
    double latitude, longitude;
  };
  for (const Place place : {Place{52.1017, 5.1783} /* De Bilt */, Place{52.9533, 4.7899} /* Den Helder */,
                            Place{50.8514, 5.6910} /* Maastricht */, Place{53.5, 0.5}, Place{49.5, 8.8}}) {
    const auto [column, row] = by_snyder(place.longitude, place.latitude);
    const auto pixel = overlay.pixel_at(place.latitude, place.longitude);
    ASSERT_TRUE(pixel);
    EXPECT_EQ(pixel->first, static_cast<std::int64_t>(row));
    EXPECT_EQ(pixel->second, static_cast<std::int64_t>(column));
  }
  for (const Place place : {Place{52., -0.1}, Place{48.5, 5.}, Place{56.5, 5.}, Place{52., 12.},
                            Place{-52., 5.}, Place{91., 5.}, Place{NAN, 5.}, Place{52., INFINITY}}) {
    EXPECT_FALSE(overlay.pixel_at(place.latitude, place.longitude))
        << place.latitude << ", " << place.longitude;
  }
}

TEST(Overlay, GridsThatCountDegreesTo360AreTheSamePlaces) {
  const Overlay overlay(degrees(50, 40, 350., 60., 0.1), Quantity::rain_rate);
  EXPECT_NEAR(overlay.frame().west, -10., 1e-9);
  EXPECT_NEAR(overlay.frame().east, -5., 1e-9);
  EXPECT_EQ(overlay.pixel_at(59.95, -9.95), (std::pair<std::int64_t, std::int64_t>{0, 0}));
  EXPECT_EQ(overlay.pixel_at(56.05, 354.95), (std::pair<std::int64_t, std::int64_t>{39, 49}));
}

TEST(Overlay, MissingDryAndRainAreToldApart) {
  const Grid grid = degrees(4, 1, 4., 52., 0.1);
  const Overlay overlay(grid, Quantity::rain_rate);
  const Image image = decode(overlay.png(std::vector<float>{kMissing, 0.F, 0.0999F, 0.1F}));
  ASSERT_EQ(image.columns, 4);
  EXPECT_TRUE(is_grey_veil(image.at(0, 0)));
  EXPECT_EQ(image.at(1, 0), kTransparent);
  EXPECT_EQ(image.at(2, 0), kTransparent);
  EXPECT_EQ(image.at(3, 0), opaque(colour_scale(Quantity::rain_rate).colours[0]));
}

TEST(Overlay, OutsideTheGridIsNotDry) {
  const Grid grid = dutch_grid();
  const Overlay overlay(grid, Quantity::rain_rate);
  const Image image = decode(overlay.png(std::vector<float>(static_cast<std::size_t>(grid.pixels()), 0.F)));
  const auto [x, y] = on_image(overlay.frame(), 10.8, 50.);  // east of the grid's south-east corner
  EXPECT_TRUE(is_grey_veil(image.at(static_cast<std::int64_t>(x), static_cast<std::int64_t>(y))));
  const auto [u, v] = on_image(overlay.frame(), 5.18, 52.1);
  EXPECT_EQ(image.at(static_cast<std::int64_t>(u), static_cast<std::int64_t>(v)), kTransparent);
}

TEST(Overlay, LargeGridsShowTheMeansOfBlocks) {
  const Grid grid = degrees(3500, 6, 0., 1., 0.01);
  const Overlay overlay(grid, Quantity::rain_rate);
  EXPECT_EQ(overlay.reduced(), 3);
  EXPECT_EQ(overlay.frame().columns, 1167);
  std::vector<float> values(static_cast<std::size_t>(grid.pixels()), 0.F);
  values[0] = 90.F;  // a ninth of the first block: 10 mm/h
  for (const std::size_t row : {0U, 1U, 2U}) {
    for (const std::size_t column : {3U, 4U, 5U}) values[row * 3500U + column] = kMissing;
  }
  values[3] = 3.F;  // one of nine observed is too few
  const Image image = decode(overlay.png(values));
  EXPECT_EQ(image.at(0, 0), opaque(colour_scale(Quantity::rain_rate).colours[6]));  // from 10 to 20
  EXPECT_TRUE(is_grey_veil(image.at(1, 0)));
  EXPECT_EQ(image.at(2, 0), kTransparent);
  EXPECT_EQ(overlay.pixel_at(0.995, 0.035), (std::pair<std::int64_t, std::int64_t>{0, 3}));
}

TEST(Overlay, WhatAWebMapWouldDrawWronglyIsRefused) {
  const auto refusal = [](const Grid& grid) {
    return refusal_of([&] { Overlay(grid, Quantity::rain_rate); });
  };
  Grid nowhere = dutch_grid();
  nowhere.projection.clear();
  EXPECT_NE(refusal(nowhere).find("no projection"), std::string::npos) << refusal(nowhere);
  const Grid fiji = degrees(100, 100, 175., -10., 0.1);
  EXPECT_NE(refusal(fiji).find("crosses the antimeridian"), std::string::npos) << refusal(fiji);
  const Grid arctic{"+proj=stere +lat_0=90 +lon_0=0 +lat_ts=60 +ellps=WGS84", 400, 400, -2e6, 2e6, 1e4, 1e4};
  EXPECT_NE(refusal(arctic).find("holds a pole"), std::string::npos) << refusal(arctic);
  const Grid high = degrees(10, 100, 0., 89., 0.1);
  EXPECT_NE(refusal(high).find("89.00 degrees of latitude"), std::string::npos) << refusal(high);
  const Grid disc{"+proj=geos +h=35785831 +sweep=y +ellps=WGS84", 100, 100, -5.5e6, 5.5e6, 1.1e5, 1.1e5};
  EXPECT_NE(refusal(disc).find("nowhere on Earth"), std::string::npos) << refusal(disc);
  const Grid empty = degrees(0, 4, 4., 52., 0.1);
  EXPECT_NE(refusal(empty).find("no pixels"), std::string::npos) << refusal(empty);
}

TEST(Overlay, AFieldOfAnotherSizeIsRefused) {
  const Overlay overlay(degrees(4, 3, 4., 52., 0.1), Quantity::rain_rate);
  const std::string words = refusal_of([&] { overlay.png(std::vector<float>(11)); });
  EXPECT_NE(words.find("11 values; expected 12"), std::string::npos) << words;
}

TEST(PalettePng, EveryPixelHasItsEntrysColour) {
  std::vector<PaletteEntry> palette;
  std::vector<std::uint8_t> indices;
  for (int i = 0; i < 256; ++i) {
    const auto part = static_cast<std::uint8_t>(i);
    palette.push_back({{part, static_cast<std::uint8_t>(255 - i), 7}, 255});
    indices.push_back(static_cast<std::uint8_t>(i * 37));
  }
  palette[0].alpha = 0;
  const Image image = decode(palette_png(32, 8, indices, palette));
  for (int i = 0; i < 256; ++i) {
    const std::uint8_t index = indices[static_cast<std::size_t>(i)];
    EXPECT_EQ(image.at(i % 32, i / 32), index == 0 ? kTransparent : opaque(palette[index].colour));
  }
}

TEST(PalettePng, SizesThatDoNotFitAreRefused) {
  const std::vector<std::uint8_t> indices(12);
  const std::vector<PaletteEntry> palette(2);
  const std::string words = refusal_of([&] { palette_png(4, 4, indices, palette); });
  EXPECT_NE(words.find("12 pixels and 2 colours for 4 x 4"), std::string::npos) << words;
  EXPECT_NE(refusal_of([&] { palette_png(4, 3, indices, {}); }), "was read");
  EXPECT_NE(refusal_of([&] { palette_png(0, 0, {}, palette); }), "was read");
}

}  // namespace
}  // namespace raincell::io
