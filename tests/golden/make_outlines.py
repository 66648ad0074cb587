#!/usr/bin/env python3
"""app/page/outlines.json from Natural Earth's countries at 1:50 million (public domain, naturalearthdata.com), as the Debian package
r-cran-rnaturalearthdata carries them. Needs rdata and numpy; the program only reads the result:
    dpkg -x r-cran-rnaturalearthdata_*.deb DIR && python tests/golden/make_outlines.py DIR > app/page/outlines.json

Coordinates are hundredths of a degree. An edge that two countries share is a border, one that a single country has is a coast; coasts close to
rings of land (even-odd), borders are lines. Each is a list longitude, latitude, then steps: [x0, y0, dx, dy, dx, dy, ...].
"""
import gzip
import json
import lzma
import pathlib
import sys
import warnings
import zlib

import rdata


def lazy_object(folder, name):
    """An object of R's lazy-load database: the index says where it lies; its length and kind of compression stand before it."""
    index = rdata.conversion.convert(rdata.parser.parse_data(gzip.decompress((folder / "Rdata.rdx").read_bytes())))
    start, size = (int(number) for number in index["variables"][name])
    packed = (folder / "Rdata.rdb").read_bytes()[start:start + size]
    if packed[4:5] != b"Z":
        return rdata.conversion.convert(rdata.parser.parse_data(zlib.decompress(packed[4:])))
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 26}]
    content = lzma.LZMADecompressor(format=lzma.FORMAT_RAW, filters=filters).decompress(packed[5:])
    return rdata.conversion.convert(rdata.parser.parse_data(content))


def rings(countries):
    for country in countries.polygons:
        for part in country.Polygons:
            points = [(round(100 * float(x)), round(100 * float(y))) for x, y in part.coords]
            yield [point for i, point in enumerate(points) if i == 0 or point != points[i - 1]]


def chains(edges, ends):
    """Lines along `edges` from point to point; they stop at `ends` and where no edge goes on."""
    near = {}
    for a, b in edges:
        near.setdefault(a, []).append(b)
        near.setdefault(b, []).append(a)
    left = set(edges)
    lines = []
    for start in sorted(near, key=lambda point: (point not in ends and len(near[point]) == 2, point)):
        for step in near[start]:
            line, a, b = [start], start, step
            while tuple(sorted((a, b))) in left:
                left.discard(tuple(sorted((a, b))))
                line.append(b)
                if b in ends or b == start:
                    break
                onward = [c for c in near[b] if tuple(sorted((b, c))) in left]
                if not onward:
                    break
                a, b = b, onward[0]
            if len(line) > 1:
                lines.append(line)
    return lines


def joined(lines):
    """Rings out of lines whose ends meet."""
    closed = [line for line in lines if line[0] == line[-1]]
    open_lines = [line for line in lines if line[0] != line[-1]]
    while open_lines:
        line = open_lines.pop()
        while line[0] != line[-1]:
            after = next((other for other in open_lines if line[-1] in (other[0], other[-1])), None)
            if after is None:
                break
            open_lines.remove(after)
            line += after[1:] if after[0] == line[-1] else after[-2::-1]
        closed.append(line)
    return closed


def thinned(points, tolerance):
    """Douglas and Peucker's: no point that was left out lies farther than `tolerance` from the line."""
    keep, stack = {0, len(points) - 1}, [(0, len(points) - 1)]
    while stack:
        a, b = stack.pop()
        (ax, ay), (bx, by) = points[a], points[b]
        length = ((bx - ax) ** 2 + (by - ay) ** 2) ** .5
        far, at = tolerance, None
        for i in range(a + 1, b):
            x, y = points[i]
            distance = abs((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / length if length else ((x - ax) ** 2 + (y - ay) ** 2) ** .5
            if distance > far:
                far, at = distance, i
        if at is not None:
            keep.add(at)
            stack += [(a, at), (at, b)]
    return [points[i] for i in sorted(keep)]


def steps(line):
    flat = list(line[0])
    for (ax, ay), (bx, by) in zip(line, line[1:]):
        flat += [bx - ax, by - ay]
    return flat


def main(folder):
    count = {}
    for ring in rings(lazy_object(folder / "usr/lib/R/site-library/rnaturalearthdata/data", "countries50")):
        for a, b in zip(ring, ring[1:]):
            count[tuple(sorted((a, b)))] = count.get(tuple(sorted((a, b))), 0) + 1
    coast = [edge for edge, times in count.items() if times == 1]
    shared = [edge for edge, times in count.items() if times > 1]
    ends = {point for edge in coast for point in edge} & {point for edge in shared for point in edge}
    land = [thinned(ring, 1) for ring in joined(chains(coast, ends))]
    borders = [thinned(line, 1) for line in chains(shared, ends)]
    # Islets of a kilometre are dots on any radar map.
    land = [ring for ring in land if len(ring) > 3 and max(max(p) - min(p) for p in zip(*ring)) >= 4]
    print(json.dumps({"origin": "Natural Earth 1:50m countries, public domain", "unit": .01, "land": [steps(r) for r in land],
                      "borders": [steps(b) for b in borders]}, separators=(",", ":")))
    print(f"{len(land)} rings of {sum(map(len, land))} points, {sum(r[0] != r[-1] for r in land)} of them open; "
          f"{len(borders)} borders of {sum(map(len, borders))} points", file=sys.stderr)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(pathlib.Path(sys.argv[1]))
