// Maps, decoded again by Cairo and libwebp.
#include "io/picture.hpp"

#include <cairo.h>
#include <gtest/gtest.h>
#include <webp/demux.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "io/colours.hpp"
#include "io/graticule.hpp"
#include "tests/io/png_reader.hpp"

namespace raincell::io {
namespace {

struct Picture {
  int width = 0, height = 0;
  std::vector<Colour> pixels;
  Colour at(int x, int y) const {
    return pixels[static_cast<std::size_t>(y) * static_cast<std::size_t>(width) +
                  static_cast<std::size_t>(x)];
  }
};

Picture decode(const std::vector<std::uint8_t>& png) {
  std::size_t used = 0;
  cairo_surface_t* surface = read_png(png, used);
  EXPECT_EQ(cairo_surface_status(surface), CAIRO_STATUS_SUCCESS);
  Picture picture;
  picture.width = cairo_image_surface_get_width(surface);
  picture.height = cairo_image_surface_get_height(surface);
  const unsigned char* bytes = cairo_image_surface_get_data(surface);
  for (int y = 0; y < picture.height; ++y) {
    for (int x = 0; x < picture.width; ++x) {
      const unsigned char* p = bytes + y * cairo_image_surface_get_stride(surface) + 4 * x;
      picture.pixels.push_back({p[2], p[1], p[0]});
    }
  }
  cairo_surface_destroy(surface);
  return picture;
}

/// CIE lightness of an sRGB colour (IEC 61966-2-1, D65).
double lightness(const Colour& colour) {
  const auto linear = [](std::uint8_t part) {
    const double c = part / 255.;
    return c <= 0.04045 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4);
  };
  const double y = 0.2126 * linear(colour.red) + 0.7152 * linear(colour.green) + 0.0722 * linear(colour.blue);
  return y > 0.008856 ? 116. * std::cbrt(y) - 16. : 903.3 * y;
}

Grid plain_grid(std::int64_t columns, std::int64_t rows) {
  return {"", columns, rows, 0., 0., 1000., 1000.};
}

TEST(Colours, LightnessFallsFromClassToClass) {
  for (const Quantity quantity :
       {Quantity::rain_rate, Quantity::reflectivity, Quantity::vil, Quantity::intensity}) {
    const ColourScale scale = colour_scale(quantity);
    ASSERT_EQ(scale.bounds.size(), scale.colours.size());
    EXPECT_TRUE(std::is_sorted(scale.bounds.begin(), scale.bounds.end()));
    double before = lightness(scale.dry);
    EXPECT_GT(before - lightness(scale.missing), 5.);
    for (const Colour& colour : scale.colours) {
      EXPECT_LT(lightness(colour), before - 4.) << colour.hex();
      before = lightness(colour);
    }
  }
}

TEST(Colours, ClassesStartAtTheirBounds) {
  const ColourScale scale = colour_scale(Quantity::rain_rate);
  EXPECT_EQ(scale.class_of(0.F), -1);
  EXPECT_EQ(scale.class_of(0.0999F), -1);
  EXPECT_EQ(scale.class_of(0.1F), 0);
  EXPECT_EQ(scale.class_of(0.2F), 1);
  EXPECT_EQ(scale.class_of(99.9F), 9);
  EXPECT_EQ(scale.class_of(5000.F), 10);
}

TEST(Picture, ShowsEachPixelInItsColourAtItsPlace) {
  // Enlarged 100 times: rows from the north, columns from the west.
  const Grid grid = plain_grid(8, 8);
  std::vector<float> values(64, 0.F);
  values[0] = 150.F;      // upper left
  values[7] = 1.5F;       // upper right
  values[63] = kMissing;  // lower right
  values[2 * 8 + 3] = 25.F;
  const MapFrame frame = map_frame(grid);
  EXPECT_EQ(frame.enlarged, 100);
  EXPECT_EQ(frame.columns, 800);
  const Picture picture = decode(draw_map(grid, values, {"title", "subtitle"}));
  EXPECT_EQ(picture.width, frame.width);
  EXPECT_EQ(picture.height, frame.height);
  const ColourScale scale = colour_scale(Quantity::rain_rate);
  const auto pixel = [&](int column, int row) {
    return picture.at(frame.left + column * 100 + 50, frame.top + row * 100 + 50);
  };
  EXPECT_EQ(pixel(0, 0), scale.colours[10]);
  EXPECT_EQ(pixel(7, 0), scale.colours[3]);
  EXPECT_EQ(pixel(3, 2), scale.colours[7]);
  EXPECT_EQ(pixel(4, 4), scale.dry);
  std::set<std::string> missing;
  for (int x = 20; x < 60; ++x) missing.insert(picture.at(frame.left + 700 + x, frame.top + 750).hex());
  EXPECT_EQ(missing, (std::set<std::string>{scale.missing.hex(), scale.missing_hatch.hex()}));
}

TEST(Picture, LargeGridsAreReducedToMeansOfWhatWasObserved) {
  const Grid grid = plain_grid(1600, 1200);  // 2 x 2 blocks
  std::vector<float> values(1600 * 1200, 0.F);
  values[0] = 8.F;  // block (0,0): 8, 0, missing, 0 -> 2.67
  values[1600] = kMissing;
  values[2] = values[3] = values[1602] = kMissing;  // block (0,1): one of four
  const MapFrame frame = map_frame(grid);
  EXPECT_EQ(frame.reduced, 2);
  EXPECT_EQ(frame.columns, 800);
  EXPECT_EQ(frame.rows, 600);
  const Picture picture = decode(draw_map(grid, values, {"", ""}));
  const ColourScale scale = colour_scale(Quantity::rain_rate);
  EXPECT_EQ(picture.at(frame.left, frame.top), scale.colours[4]);  // 2 to 5 mm/h
  const Colour second = picture.at(frame.left + 1, frame.top);
  EXPECT_TRUE(second == scale.missing || second == scale.missing_hatch) << second.hex();
  EXPECT_EQ(picture.at(frame.left + 2, frame.top), scale.dry);
}

TEST(Picture, OtherQuantitiesHaveTheirOwnClasses) {
  const Grid grid = plain_grid(4, 4);
  const std::vector<float> values(16, 42.F);
  MapText text{"t", "s"};
  text.quantity = Quantity::reflectivity;
  const MapFrame frame = map_frame(grid);
  const Picture picture = decode(draw_map(grid, values, text));
  EXPECT_EQ(picture.at(frame.left + 50, frame.top + 50),
            colour_scale(Quantity::reflectivity).colours[7]);  // 40..45 dBZ
}

TEST(Picture, SizesThatDoNotFitAreRefused) {
  const std::vector<float> values(15);
  EXPECT_THROW(draw_map(plain_grid(4, 4), values, {"", ""}), DataError);
  EXPECT_THROW(draw_map(plain_grid(0, 4), {}, {"", ""}), DataError);
  EXPECT_THROW(draw_animation(
                   plain_grid(4, 4), [](std::size_t) { return std::span<const float>{}; }, {}, 100),
               DataError);
}

TEST(Graticule, LinesCrossTheEdgesWhereTheProjectionSays) {
  // Meridians of a polar stereographic map with lon_0 = 0 are straight: x = tan(longitude) * |y|.
  const Grid grid{"+proj=stere +lat_0=90 +lon_0=0 +lat_ts=60 +a=6378137 +b=6356752 +x_0=0 +y_0=0 +units=m",
                  700,
                  765,
                  0.,
                  -3650000.,
                  1000.,
                  1000.};
  const Graticule graticule = make_graticule(grid, 700, 765);
  const auto four = std::find_if(graticule.bottom.begin(), graticule.bottom.end(),
                                 [](const MapLabel& label) { return label.text == "4°E"; });
  ASSERT_NE(four, graticule.bottom.end());
  EXPECT_NEAR(four->at, std::tan(4. * 3.14159265358979 / 180.) * 4415., 0.5);
  // True at 60 N; at 52 N the scale is (1 + sin 60) / (1 + sin 52) = 1.0436: a 1 km pixel spans about 958 m.
  EXPECT_NEAR(graticule.metres_a_pixel, 958., 8.);
  EXPECT_TRUE(make_graticule(plain_grid(10, 10), 10, 10).lines.empty());
}

TEST(Animation, HasOneFrameATextAndShowsThem) {
  const Grid grid = plain_grid(16, 16);
  const std::vector<float> dry(256, 0.F), wet(256, 12.F), storm(256, 120.F);
  const std::vector<MapText> texts = {
      {"a", "1", MapKind::observed}, {"a", "2", MapKind::forecast}, {"a", "3", MapKind::forecast}};
  const std::vector<std::span<const float>> frames{dry, wet, storm};
  const std::vector<std::uint8_t> bytes = draw_animation(
      grid, [&](std::size_t i) { return frames[i]; }, texts, 250);
  const WebPData data{bytes.data(), bytes.size()};
  WebPAnimDecoderOptions options;
  ASSERT_TRUE(WebPAnimDecoderOptionsInit(&options));
  WebPAnimDecoder* decoder = WebPAnimDecoderNew(&data, &options);
  ASSERT_NE(decoder, nullptr);
  WebPAnimInfo info;
  ASSERT_TRUE(WebPAnimDecoderGetInfo(decoder, &info));
  const MapFrame frame = map_frame(grid, true);
  EXPECT_EQ(info.frame_count, 3U);
  EXPECT_EQ(info.loop_count, 0U);
  EXPECT_EQ(info.canvas_width, static_cast<unsigned>(frame.width));
  EXPECT_EQ(info.canvas_height, static_cast<unsigned>(frame.height));
  const ColourScale scale = colour_scale(Quantity::rain_rate);
  const std::vector<Colour> expected = {scale.dry, scale.colours[6], scale.colours[10]};
  const std::vector<int> ends = {250, 500, 1250};  // the last frame stays three times as long
  for (std::size_t i = 0; i < 3; ++i) {
    std::uint8_t* pixels = nullptr;
    int time_ms = 0;
    ASSERT_TRUE(WebPAnimDecoderGetNext(decoder, &pixels, &time_ms));
    const std::size_t at =
        4 * (static_cast<std::size_t>(frame.top + 400) * static_cast<std::size_t>(frame.width) +
             static_cast<std::size_t>(frame.left + 400));
    EXPECT_EQ((Colour{pixels[at], pixels[at + 1], pixels[at + 2]}), expected[i]);
    EXPECT_EQ(time_ms, ends[i]);
  }
  WebPAnimDecoderDelete(decoder);
}

}  // namespace
}  // namespace raincell::io
