#include "io/picture.hpp"

#include <cairo.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "io/block_means.hpp"
#include "io/colours.hpp"
#include "io/graticule.hpp"
#include "io/webp_animation.hpp"

namespace raincell::io {
namespace {

constexpr int kWantedSide = 800;    // longer side of the field, when it is enlarged
constexpr int kLargestSide = 1000;  // ... and when it is reduced
constexpr int kLeft = 58, kTop = 76, kRight = 112, kBottom = 44, kTimeLine = 30;
constexpr int kSmallestWidth = 330, kSmallestHeight = 330;  // of the middle part, for title and colour bar
constexpr const char* kFont = "DejaVu Sans";

struct Ink {
  double red, green, blue, alpha = 1.;
};
constexpr Ink kText{0.11, 0.14, 0.19}, kSoftText{0.38, 0.42, 0.48}, kBorder{0.45, 0.49, 0.55};
constexpr Ink kGraticule{0.22, 0.26, 0.32, 0.30}, kWhite{1., 1., 1.};
constexpr Ink kObserved{0.31, 0.36, 0.43}, kForecast{0.80, 0.33, 0.05};

struct SurfaceDeleter {
  void operator()(cairo_surface_t* surface) const { cairo_surface_destroy(surface); }
};
struct ContextDeleter {
  void operator()(cairo_t* context) const { cairo_destroy(context); }
};
using Surface = std::unique_ptr<cairo_surface_t, SurfaceDeleter>;

void check(cairo_status_t status, const char* what) {
  if (status != CAIRO_STATUS_SUCCESS) {
    throw WriteError(fmt::format("map: {}: {}; check free memory", what, cairo_status_to_string(status)));
  }
}

Surface make_surface(int width, int height) {
  Surface surface(cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height));
  check(cairo_surface_status(surface.get()), "picture surface");
  return surface;
}

/// A pen with the few shapes that a map needs.
class Pen {
 public:
  explicit Pen(cairo_surface_t* surface) : context_(cairo_create(surface)) {
    check(cairo_status(context_.get()), "drawing context");
  }
  cairo_t* get() const { return context_.get(); }

  void ink(const Ink& ink) const { cairo_set_source_rgba(get(), ink.red, ink.green, ink.blue, ink.alpha); }
  void ink(const Colour& colour) const {
    cairo_set_source_rgb(get(), colour.red / 255., colour.green / 255., colour.blue / 255.);
  }
  void font(double size, bool bold = false) const {
    cairo_select_font_face(get(), kFont, CAIRO_FONT_SLANT_NORMAL,
                           bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(get(), size);
  }
  double width_of(const std::string& text) const {
    cairo_text_extents_t extents;
    cairo_text_extents(get(), text.c_str(), &extents);
    return extents.x_advance;
  }
  /// `align` 0: x is the left end, 0.5: the middle, 1: the right end.
  void text(double x, double y, const std::string& words, double align = 0.) const {
    cairo_move_to(get(), std::round(x - align * width_of(words)), std::round(y));
    cairo_show_text(get(), words.c_str());
  }
  void box(double x, double y, double width, double height) const {
    cairo_rectangle(get(), x, y, width, height);
  }
  void round_box(double x, double y, double width, double height, double radius) const {
    constexpr double kQuarter = 1.57079632679489661923;
    cairo_new_sub_path(get());
    cairo_arc(get(), x + width - radius, y + radius, radius, -kQuarter, 0.);
    cairo_arc(get(), x + width - radius, y + height - radius, radius, 0., kQuarter);
    cairo_arc(get(), x + radius, y + height - radius, radius, kQuarter, 2. * kQuarter);
    cairo_arc(get(), x + radius, y + radius, radius, 2. * kQuarter, 3. * kQuarter);
    cairo_close_path(get());
  }
  void fill() const { cairo_fill(get()); }
  void stroke(double width) const {
    cairo_set_line_width(get(), width);
    cairo_stroke(get());
  }

 private:
  std::unique_ptr<cairo_t, ContextDeleter> context_;
};

std::uint32_t packed(const Colour& colour) {
  return (std::uint32_t{colour.red} << 16) | (std::uint32_t{colour.green} << 8) | colour.blue;
}

struct FieldFacts {
  double largest = 0.;
  std::int64_t observed = 0, wet = 0;
};

FieldFacts facts_of(std::span<const float> values, const ColourScale& scale) {
  FieldFacts facts;
  for (const float value : values) {
    if (std::isnan(value)) continue;
    ++facts.observed;
    facts.wet += scale.class_of(value) >= 0;
    facts.largest = std::max(facts.largest, static_cast<double>(value));
  }
  return facts;
}

/// "3.4", "34", "1.2e+09".
std::string short_number(double value) {
  if (value >= 99999.5) return fmt::format("{:.1e}", value);
  return fmt::format("{:.{}f}", value, value < 9.95 ? 1 : 0);
}

/// Everything that frames of one grid share.
class MapPainter {
 public:
  MapPainter(const Grid& grid, const MapText& text, std::int64_t frames)
      : grid_(grid),
        scale_(colour_scale(text.quantity)),
        frame_(map_frame(grid, frames > 1, text.bare)),
        frames_(frames),
        bare_(text.bare) {
    graticule_ = make_graticule(grid, frame_.columns, frame_.rows);
  }

  Surface paint(std::span<const float> values, const std::vector<MapText>& texts, std::size_t index) const {
    Surface surface = make_surface(frame_.width, frame_.height);
    {
      const Pen pen(surface.get());
      pen.ink(kWhite);
      cairo_paint(pen.get());
    }
    paint_field(surface.get(), values);
    const Pen pen(surface.get());
    paint_graticule(pen);
    if (!bare_) {
      paint_scale(pen);
      paint_titles(pen, texts[index]);
      paint_colour_bar(pen);
      paint_facts(pen, values);
      if (frames_ > 1) paint_time_line(pen, texts, index);
    }
    check(cairo_status(pen.get()), "drawing");
    cairo_surface_flush(surface.get());
    return surface;
  }

 private:
  void paint_field(cairo_surface_t* surface, std::span<const float> values) const {
    std::vector<float> means;
    std::int64_t stride = grid_.columns;
    if (frame_.reduced > 1) {
      means = block_means(values, grid_.columns, grid_.rows, frame_.reduced);
      values = means;
      stride = frame_.columns;
    }
    std::vector<std::uint32_t> colours;
    for (const Colour& colour : scale_.colours) colours.push_back(packed(colour));
    const std::uint32_t dry = packed(scale_.dry), grey = packed(scale_.missing),
                        hatch = packed(scale_.missing_hatch);
    cairo_surface_flush(surface);
    unsigned char* bytes = cairo_image_surface_get_data(surface);
    const int pitch = cairo_image_surface_get_stride(surface);
    for (int y = 0; y < frame_.rows; ++y) {
      auto* line =
          reinterpret_cast<std::uint32_t*>(bytes + static_cast<std::ptrdiff_t>(y + frame_.top) * pitch);
      const float* row = values.data() + y / frame_.enlarged * stride;
      for (int x = 0; x < frame_.columns; ++x) {
        const float value = row[x / frame_.enlarged];
        std::uint32_t pixel = (x + y) % 9 == 0 ? hatch : grey;
        if (!std::isnan(value)) {
          const int level = scale_.class_of(value);
          pixel = level < 0 ? dry : colours[static_cast<std::size_t>(level)];
        }
        line[frame_.left + x] = pixel;
      }
    }
    cairo_surface_mark_dirty(surface);
  }

  void paint_graticule(const Pen& pen) const {
    const double left = frame_.left, top = frame_.top;
    cairo_save(pen.get());
    pen.box(left, top, frame_.columns, frame_.rows);
    cairo_clip(pen.get());
    pen.ink(kGraticule);
    for (const auto& line : graticule_.lines) {
      for (std::size_t i = 0; i < line.size(); ++i) {
        (i == 0 ? cairo_move_to : cairo_line_to)(pen.get(), left + line[i].x, top + line[i].y);
      }
      pen.stroke(0.9);
    }
    cairo_restore(pen.get());
    pen.ink(kBorder);
    pen.box(left - 0.5, top - 0.5, frame_.columns + 1., frame_.rows + 1.);
    pen.stroke(1.);
    if (bare_) return;
    pen.font(11.5);
    pen.ink(kSoftText);
    const double bottom = top + frame_.rows;
    for (const MapLabel& label : graticule_.bottom) pen.text(left + label.at, bottom + 17., label.text, 0.5);
    for (const MapLabel& label : graticule_.left) {
      pen.text(left - 7., std::clamp(top + label.at + 4., top + 11., bottom), label.text, 1.);
    }
  }

  void paint_scale(const Pen& pen) const {
    if (!(graticule_.metres_a_pixel > 0.) || frame_.columns < 160 || frame_.rows < 100) return;
    double km = 1.;
    for (const double length : {1., 2., 5., 10., 20., 50., 100., 200., 500., 1000., 2000.}) {
      if (length * 1000. / graticule_.metres_a_pixel <= frame_.columns / 5.) km = length;
    }
    const double length = std::round(km * 1000. / graticule_.metres_a_pixel);
    const std::string text = fmt::format("{} km", km);
    pen.font(11.5);
    const double width = std::max(length, pen.width_of(text)) + 20.;
    const double x = frame_.left + frame_.columns - width - 10., y = frame_.top + frame_.rows - 42.;
    pen.ink({1., 1., 1., 0.86});
    pen.round_box(x, y, width, 32., 5.);
    pen.fill();
    pen.ink(kText);
    pen.text(x + width / 2., y + 14., text, 0.5);
    const double from = std::round(x + (width - length) / 2.) + 0.5, line = y + 23.5;
    cairo_move_to(pen.get(), from, line - 4.);
    cairo_line_to(pen.get(), from, line);
    cairo_line_to(pen.get(), from + length, line);
    cairo_line_to(pen.get(), from + length, line - 4.);
    pen.stroke(1.4);
  }

  void paint_titles(const Pen& pen, const MapText& text) const {
    double right = frame_.width - 18.;
    if (text.kind != MapKind::unmarked) {
      const bool forecast = text.kind == MapKind::forecast;
      const std::string word = forecast ? "FORECAST" : "OBSERVED";
      pen.font(11.5, true);
      const double width = pen.width_of(word) + 24.;
      right -= width;
      pen.ink(forecast ? kForecast : kObserved);
      pen.round_box(right, 17., width, 23., 11.5);
      pen.fill();
      pen.ink(kWhite);
      pen.text(right + 12., 33., word);
      right -= 14.;
    }
    const auto fitted = [&](double y, double size, bool bold, const Ink& ink, const std::string& words,
                            double room) {
      pen.font(size, bold);
      if (const double width = pen.width_of(words); width > room)
        pen.font(std::max(8., size * room / width), bold);
      pen.ink(ink);
      pen.text(frame_.left, y, words);
    };
    fitted(35., 19., true, kText, text.title, right - frame_.left);
    fitted(58., 14., false, kSoftText, text.subtitle, frame_.width - 18. - frame_.left);
  }

  void paint_colour_bar(const Pen& pen) const {
    const double x = frame_.left + std::max(frame_.columns, kSmallestWidth) + 22., wide = 20.;
    const auto classes = static_cast<double>(scale_.colours.size());
    const double top = frame_.top + 14., legend = 62.;
    const double room = std::max(frame_.rows, kSmallestHeight) - 14. - legend;
    const double step = std::floor(std::min(56., room / (classes + 0.6)));
    pen.font(12.5, true);
    pen.ink(kText);
    pen.text(x, frame_.top + 4., scale_.unit);
    pen.font(11.5);
    double y = top + std::round(0.6 * step);
    const double first = y;
    for (std::size_t i = scale_.colours.size(); i-- > 0; y += step) {
      pen.ink(scale_.colours[i]);
      if (i + 1 == scale_.colours.size()) {  // open above: an arrow
        cairo_move_to(pen.get(), x, y + 0.5);
        cairo_line_to(pen.get(), x + wide / 2., top);
        cairo_line_to(pen.get(), x + wide, y + 0.5);
        cairo_close_path(pen.get());
        pen.fill();
      }
      pen.box(x, y, wide, step);
      pen.fill();
      pen.ink(kBorder);
      cairo_move_to(pen.get(), x + wide, y + step - 0.5);
      cairo_line_to(pen.get(), x + wide + 5., y + step - 0.5);
      pen.stroke(1.);
      pen.ink(kText);
      pen.text(x + wide + 9., y + step + 3.5, fmt::format("{}", scale_.bounds[i]));
    }
    pen.ink(kBorder);
    cairo_move_to(pen.get(), x, first);
    cairo_line_to(pen.get(), x + wide / 2., top);
    cairo_line_to(pen.get(), x + wide, first);
    cairo_line_to(pen.get(), x + wide, y);
    cairo_line_to(pen.get(), x, y);
    cairo_close_path(pen.get());
    pen.stroke(1.);
    paint_key(pen, x, y + 18.);
  }

  /// Dry and missing, below the colour bar.
  void paint_key(const Pen& pen, double x, double y) const {
    pen.ink(scale_.dry);
    pen.box(x, y, 20., 14.);
    pen.fill();
    cairo_save(pen.get());
    pen.box(x, y + 22., 20., 14.);
    cairo_clip(pen.get());
    pen.ink(scale_.missing);
    cairo_paint(pen.get());
    pen.ink(scale_.missing_hatch);
    for (double start = -9.; start < 40.; start += 9.) {
      cairo_move_to(pen.get(), x + start, y + 22.);
      cairo_line_to(pen.get(), x + start - 14., y + 36.);
      pen.stroke(1.2);
    }
    cairo_restore(pen.get());
    pen.ink(kBorder);
    pen.box(x + 0.5, y + 0.5, 19., 13.);
    pen.box(x + 0.5, y + 22.5, 19., 13.);
    pen.stroke(1.);
    pen.ink(kText);
    pen.font(11.5);
    pen.text(x + 29., y + 11.5, "dry");
    pen.text(x + 29., y + 33.5, "no data");
  }

  void paint_facts(const Pen& pen, std::span<const float> values) const {
    const FieldFacts facts = facts_of(values, scale_);
    pen.font(11.5);
    pen.ink(kSoftText);
    std::string text = "no data";
    if (facts.observed > 0) {
      const double wet = 100. * static_cast<double>(facts.wet) / static_cast<double>(facts.observed);
      text = fmt::format("max {} {}   ·   {} % wet", short_number(facts.largest), scale_.unit,
                         short_number(wet));
    }
    if (frame_.reduced > 1) text += fmt::format("   ·   means of {0} × {0} pixels", frame_.reduced);
    pen.text(frame_.left, field_bottom() + 35., text);
  }

  void paint_time_line(const Pen& pen, const std::vector<MapText>& texts, std::size_t index) const {
    const double left = frame_.left, width = std::max(frame_.columns, kSmallestWidth);
    const double y = field_bottom() + 50., gap = 3.;
    const double each = (width + gap) / static_cast<double>(texts.size());
    for (std::size_t i = 0; i < texts.size(); ++i) {
      Ink ink = texts[i].kind == MapKind::forecast ? kForecast : kObserved;
      ink.alpha = i == index ? 1. : 0.28;
      pen.ink(ink);
      pen.round_box(left + static_cast<double>(i) * each, y, std::max(2., each - gap), 7.,
                    std::min(3., each / 3.));
      pen.fill();
    }
  }

  double field_bottom() const { return frame_.top + std::max(frame_.rows, kSmallestHeight); }

  const Grid& grid_;
  ColourScale scale_;
  MapFrame frame_;
  std::int64_t frames_;
  bool bare_;
  Graticule graticule_;
};

void check_field(const Grid& grid, std::span<const float> values) {
  if (grid.rows < 1 || grid.columns < 1 || grid.rows > 100000 || grid.columns > 100000 ||
      static_cast<std::int64_t>(values.size()) != grid.pixels()) {
    throw DataError(fmt::format("map: {} values on a grid of {}x{} pixels; the program must give one a pixel",
                                values.size(), grid.columns, grid.rows));
  }
}

}  // namespace

MapFrame map_frame(const Grid& grid, bool time_line, bool bare) {
  MapFrame frame;
  const std::int64_t side = std::max({grid.rows, grid.columns, std::int64_t{1}});
  if (side > kLargestSide) {
    frame.reduced = static_cast<int>((side + kLargestSide - 1) / kLargestSide);
  } else {
    frame.enlarged = std::max(
        1, static_cast<int>(std::lround(static_cast<double>(kWantedSide) / static_cast<double>(side))));
  }
  const auto shown = [&](std::int64_t length) {
    return static_cast<int>((length + frame.reduced - 1) / frame.reduced) * frame.enlarged;
  };
  frame.columns = shown(grid.columns);
  frame.rows = shown(grid.rows);
  if (bare) {
    frame.left = frame.top = 1;
    frame.width = frame.columns + 2;
    frame.height = frame.rows + 2;
    return frame;
  }
  frame.left = kLeft;
  frame.top = kTop;
  frame.width = kLeft + std::max(frame.columns, kSmallestWidth) + kRight;
  frame.height = kTop + std::max(frame.rows, kSmallestHeight) + kBottom + (time_line ? kTimeLine : 0);
  return frame;
}

std::vector<std::uint8_t> draw_map(const Grid& grid, std::span<const float> values, const MapText& text) {
  check_field(grid, values);
  const Surface surface = MapPainter(grid, text, 1).paint(values, {text}, 0);
  std::vector<std::uint8_t> png;
  const auto append = [](void* out, const unsigned char* bytes, unsigned int length) {
    auto* target = static_cast<std::vector<std::uint8_t>*>(out);
    target->insert(target->end(), bytes, bytes + length);
    return CAIRO_STATUS_SUCCESS;
  };
  check(cairo_surface_write_to_png_stream(surface.get(), append, &png), "PNG");
  return png;
}

std::vector<std::uint8_t> draw_animation(const Grid& grid,
                                         const std::function<std::span<const float>(std::size_t)>& values_of,
                                         const std::vector<MapText>& texts, int milliseconds_a_frame) {
  const std::size_t frames = texts.size();
  if (frames == 0 || milliseconds_a_frame < 1)
    throw DataError(fmt::format("animation: {} frames, {} ms a frame", frames, milliseconds_a_frame));
  const MapPainter painter(grid, texts.front(), static_cast<std::int64_t>(frames));
  const MapFrame frame = map_frame(grid, frames > 1, texts.front().bare);
  WebpAnimation animation(frame.width, frame.height);
  for (std::size_t i = 0; i < frames; ++i) {
    const std::span<const float> values = values_of(i);
    check_field(grid, values);
    const Surface surface = painter.paint(values, texts, i);
    animation.add(cairo_image_surface_get_data(surface.get()), cairo_image_surface_get_stride(surface.get()),
                  i + 1 == frames ? 3 * milliseconds_a_frame : milliseconds_a_frame);
  }
  return animation.finish();
}

}  // namespace raincell::io
