// The map: land, rain, coasts and borders above it, a graticule, the cross-hair and the place that was asked for.
/* global L */
const kAway = 0.6;  // the map goes on so far beyond the radar's area, in its sides

function paneOf(map, name, level) {
  const pane = map.createPane(name);
  pane.style.zIndex = level;
  pane.style.pointerEvents = "none";
  return name;
}

/** [x0, y0, dx, dy, ...] in units of a degree -> [[latitude, longitude], ...]. */
function line(steps, unit) {
  const points = [];
  for (let i = 0, x = 0, y = 0; i < steps.length; i += 2) {
    x += steps[i];
    y += steps[i + 1];
    points.push([y * unit, x * unit]);
  }
  return points;
}

export class RainMap {
  /** `onPick(latitude, longitude)`: a place was asked for; `onLetGo()`: it is no longer wanted. */
  constructor(element, { still, onPick, onLetGo, onMove }) {
    this.map = L.map(element, {
      attributionControl: false, zoomControl: false, keyboard: false, zoomSnap: 0.25, zoomDelta: 0.5, wheelPxPerZoomLevel: 90,
      zoomAnimation: !still, fadeAnimation: false, inertia: !still, maxBoundsViscosity: 1, maxZoom: 12, boxZoom: false,
    });
    paneOf(this.map, "land", 200);
    paneOf(this.map, "rain", 300);
    paneOf(this.map, "lines", 400);
    paneOf(this.map, "places", 600);
    this.layers = new Map();  // image address -> its layer
    this.outlines = { land: [], borders: [] };
    this.onPick = onPick;
    this.onLetGo = onLetGo;
    this.map.on("click", (event) => onPick(event.latlng.lat, event.latlng.lng));
    this.map.on("movestart zoomstart", () => (this.atHome &&= this.fitting));
    this.map.on("moveend", () => onMove(this.atHome ? null : this.view()));
    this.map.on("resize", () => this.atHome && this.showAll());
    this.map.on("zoomend resize", () => this.sharpen());
    element.addEventListener("keydown", (event) => this.key(event));
    element.addEventListener("blur", () => this.hideCross());
  }

  get ready() {
    return this.bounds !== undefined;
  }
  view() {
    const { lat, lng } = this.map.getCenter();
    return { latitude: lat, longitude: lng, zoom: this.map.getZoom() };
  }

  /** The radar's area; the map is put there, or where it was left. */
  setArea(bounds, view) {
    const area = L.latLngBounds(bounds);
    if (this.bounds?.equals(area)) return;
    if (!this.bounds) {
      L.control.zoom({ position: "topright" }).addTo(this.map);
      L.control.scale({ position: "topright", imperial: false, maxWidth: 120 }).addTo(this.map);
    }
    this.bounds = area;
    this.dropFrames();
    this.map.setMaxBounds(area.pad(kAway));
    const whole = this.map.getBoundsZoom(area.pad(0.02));
    this.map.setMinZoom(whole - 1);
    const seen = view && area.pad(kAway).contains([view.latitude, view.longitude]) && view.zoom >= whole - 1;
    this.home = area;  // until the first image says where there is data
    if (seen) this.map.setView([view.latitude, view.longitude], view.zoom, { animate: false });
    else this.showAll();
    this.drawGround();
  }
  showAll() {
    this.atHome = this.fitting = true;
    const legend = this.map.getSize().x < 600 ? 46 : 6;  // on narrow screens it takes the whole lower edge
    this.map.fitBounds(this.home, { paddingTopLeft: [6, 6], paddingBottomRight: [6, legend], animate: false });
    this.fitting = false;
  }

  /** The part of the area in which an image has data: what is missing is translucent, dry is not there, rain opaque. */
  findHome(image) {
    const side = 160, sheet = Object.assign(document.createElement("canvas"), { width: side, height: side });
    const pen = sheet.getContext("2d");
    pen.imageSmoothingEnabled = false;
    pen.drawImage(image, 0, 0, side, side);
    const { data } = pen.getImageData(0, 0, side, side);
    let left = side, right = 0, top = side, bottom = 0;
    for (let i = 0; i < side * side; ++i) {
      const alpha = data[4 * i + 3];
      if (alpha > 0 && alpha < 255) continue;
      left = Math.min(left, i % side);
      right = Math.max(right, (i % side) + 1);
      top = Math.min(top, Math.floor(i / side));
      bottom = Math.max(bottom, Math.floor(i / side) + 1);
    }
    if (right <= left) return;
    const northWest = this.map.project(this.bounds.getNorthWest()), southEast = this.map.project(this.bounds.getSouthEast());
    const at = (x, y) => this.map.unproject([northWest.x + (x / side) * (southEast.x - northWest.x), northWest.y + (y / side) * (southEast.y - northWest.y)]);
    this.home = L.latLngBounds(at(left, top), at(right, bottom));
    if (this.atHome) this.showAll();
  }

  setOutlines(outlines) {
    if (this.outlines.land.length > 0) return;
    for (const name of ["land", "borders"]) {
      this.outlines[name] = outlines[name].map((steps) => line(steps, outlines.unit));
    }
    if (this.bounds) this.drawGround();
  }

  /** Land, coasts and borders near the radar's area, the graticule, and the veil over what no radar sees. */
  drawGround() {
    this.ground?.remove();
    const near = this.bounds.pad(1.5);
    const close = (points) => near.intersects(L.latLngBounds(points));
    const land = this.outlines.land.filter(close), borders = this.outlines.borders.filter(close);
    const [ground, veil, above] = ["land", "rain", "lines"].map((pane) => L.svg({ pane, padding: 0.6 }));
    const style = (className, renderer) => ({ className, renderer, interactive: false, smoothFactor: 0.7 });
    const edge = this.bounds.pad(8), ring = (box) => [box.getSouthWest(), box.getNorthWest(), box.getNorthEast(), box.getSouthEast()];
    this.ground = L.layerGroup([
      L.polygon(land.map((points) => [points]), style("land", ground)),
      L.polygon([ring(edge), ring(this.bounds)], style("veil", veil)),
      L.polyline(this.graticule(), style("graticule", above)),
      L.polyline(land, style("coast", above)),
      L.polyline(borders, style("border", above)),
      L.rectangle(this.bounds, style("area", above)),
    ]).addTo(this.map);
  }

  graticule() {
    const box = this.bounds.pad(kAway), lines = [];
    const span = this.bounds.getNorth() - this.bounds.getSouth();
    const step = [0.5, 1, 2, 5, 10, 20].find((degrees) => span / degrees <= 8) ?? 20;
    for (let at = Math.ceil(box.getWest() / step) * step; at <= box.getEast(); at += step) {
      lines.push([[box.getSouth(), at], [box.getNorth(), at]]);
    }
    for (let at = Math.ceil(box.getSouth() / step) * step; at <= box.getNorth(); at += step) {
      lines.push([[at, box.getWest()], [at, box.getEast()]]);
    }
    return lines;
  }

  /** Fetches an image and lays it over the map, unseen. Frames of other addresses than `wanted` are dropped. */
  async load(address) {
    if (this.layers.has(address)) return;
    const image = new Image();
    image.alt = "";
    image.src = address;
    await image.decode();
    if (this.layers.has(address)) return;
    image.style.visibility = "hidden";
    const layer = L.imageOverlay(image, this.bounds, { pane: "rain", interactive: false }).addTo(this.map);
    if (this.layers.size === 0) this.findHome(image);
    this.layers.set(address, layer);
    this.sharpen();
  }
  keepFrames(wanted) {
    for (const [address, layer] of this.layers) {
      if (wanted.has(address)) continue;
      layer.remove();
      this.layers.delete(address);
    }
  }
  dropFrames() {
    this.keepFrames(new Set());
  }

  /** Shows one loaded frame instead of the one before; one that is still under way shows nothing in its stead. */
  show(address) {
    for (const [other, layer] of this.layers) {
      layer.getElement().style.visibility = other === address ? "visible" : "hidden";
    }
  }
  setOpacity(part) {
    this.map.getPane("rain").style.opacity = part;
  }
  setOld(old) {
    this.map.getPane("rain").classList.toggle("old", old);
  }

  /** Enlarged pixels keep their edges: between two classes of rain there is no third one. */
  sharpen() {
    for (const layer of this.layers.values()) {
      const image = layer.getElement();
      const enlarged = image.width * devicePixelRatio > 1.3 * image.naturalWidth;
      image.style.imageRendering = enlarged ? "pixelated" : "auto";
    }
  }

  pin(latitude, longitude) {
    this.place ??= this.mark("pin", "M14 2v8M14 18v8M2 14h8M18 14h8", true);
    this.place.setLatLng([latitude, longitude]).addTo(this.map);
  }
  unpin() {
    this.place?.remove();
  }
  mark(name, path, ring) {
    const html = `<svg viewBox="0 0 28 28" aria-hidden="true">${ring ? '<circle class="halo" cx="14" cy="14" r="6"/><circle cx="14" cy="14" r="6"/>' : ""}<path class="halo" d="${path}"/><path d="${path}"/></svg>`;
    const icon = L.divIcon({ className: `mark-${name}`, html, iconSize: [28, 28] });
    return L.marker([0, 0], { icon, pane: "places", interactive: false, keyboard: false });
  }

  key(event) {
    if (!this.ready || event.ctrlKey || event.metaKey || event.altKey) return;
    const far = event.shiftKey ? 60 : 8;
    const moves = { ArrowLeft: [-far, 0], ArrowRight: [far, 0], ArrowUp: [0, -far], ArrowDown: [0, far] };
    if (moves[event.key]) this.moveCross(moves[event.key]);
    else if (event.key === "Enter" && this.cross) this.onPick(this.crossAt.lat, this.crossAt.lng);
    else if (event.key === "+" || event.key === "=") this.map.zoomIn();
    else if (event.key === "-") this.map.zoomOut();
    else if (event.key === "Home") this.showAll();
    else if (event.key === "Escape") this.onLetGo();
    else return;
    event.preventDefault();
  }
  moveCross([dx, dy]) {
    this.crossAt ??= this.place?.getLatLng() ?? this.map.getCenter();
    this.cross ??= this.mark("cross", "M14 0v11M14 17v11M0 14h11M17 14h11", false);
    const at = this.map.latLngToContainerPoint(this.crossAt).add([dx, dy]);
    this.crossAt = this.map.containerPointToLatLng(at);
    this.cross.setLatLng(this.crossAt).addTo(this.map);
    this.map.panInside(this.crossAt, { padding: [30, 30], animate: false });
  }
  hideCross() {
    this.cross?.remove();
    this.cross = undefined;
  }
}
