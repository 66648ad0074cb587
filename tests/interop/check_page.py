#!/usr/bin/env python3
"""Drives the map page of a running service as a user would, in headless Chromium: by mouse, by keyboard, on a desk screen and on a phone.

  python tests/interop/check_page.py http://127.0.0.1:8080 [--pictures DIR]          # the whole page
  python tests/interop/check_page.py http://127.0.0.1:8080 --expect DEGRADED         # waits for that state in the banner, and looks at it

Needs chromium and chromedriver (package chromium-driver); without them it says so and passes. Every request must stay with the service, and the
console must stay silent. With --pictures, screenshots for a person to look at.
"""
import argparse
import base64
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the W3C's name for a reference to an element
KEYS = {"Enter": "\ue007", "Escape": "\ue00c", "Space": " ", "Right": "\ue014", "Left": "\ue012", "Down": "\ue015", "End": "\ue010", "Home": "\ue011", "Tab": "\ue004"}
DESK, PHONE = (1440, 900), (360, 740)


class Browser:
    """Chromium by WebDriver, spoken over plain HTTP."""

    def __init__(self, port=9517):
        self.driver = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.base = f"http://127.0.0.1:{port}"
        wait_for(lambda: self.try_call("GET", "/status"), "chromedriver")
        arguments = ["--headless=new", "--disable-gpu", "--hide-scrollbars", "--disable-background-networking", "--no-first-run"]
        arguments += ["--no-sandbox"] if os.geteuid() == 0 else []
        options = {"args": arguments, "perfLoggingPrefs": {"enableNetwork": True}}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
        self.session = "/session/" + self.call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
        self.addresses, self.complaints = [], []

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {json.load(error)['value']['message'].splitlines()[0]}") from None

    def try_call(self, method, path):
        try:
            return self.call(method, path)
        except OSError:
            return None

    def close(self):
        try:
            self.call("DELETE", self.session)
        finally:
            self.driver.terminate()
            self.driver.wait()

    def post(self, path, **body):
        return self.call("POST", self.session + path, body)

    def run(self, script, *arguments):
        return self.post("/execute/sync", script=script, args=list(arguments))

    def protocol(self, command, **parameters):
        return self.post("/goog/cdp/execute", cmd=command, params=parameters)

    def element(self, selector):
        return self.post("/element", using="css selector", value=selector)[ELEMENT]

    def click(self, selector):
        self.post(f"/element/{self.element(selector)}/click")

    def text(self, selector):
        return self.run("return document.querySelector(arguments[0]).textContent", selector)

    def keys(self, *names):
        presses = []
        for name in names:
            key = KEYS.get(name, name)
            presses += [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self.post("/actions", actions=[{"type": "key", "id": "keyboard", "actions": presses}])

    def click_at(self, selector, x, y):
        """At a part of the element's width and height."""
        left, top, width, height = self.run("const r = document.querySelector(arguments[0]).getBoundingClientRect(); return [r.left, r.top, r.width, r.height]", selector)
        at = {"type": "pointerMove", "duration": 0, "x": round(left + x * width), "y": round(top + y * height)}
        presses = [at, {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        self.post("/actions", actions=[{"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": presses}])

    def screen(self, size, theme="light", motion="no-preference"):
        width, height = size
        self.protocol("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2 if width < 500 else 1, mobile=width < 500)
        self.protocol("Emulation.setTouchEmulationEnabled", enabled=width < 500)
        self.protocol("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}, {"name": "prefers-reduced-motion", "value": motion}])

    def picture(self, path):
        path.write_bytes(base64.b64decode(self.protocol("Page.captureScreenshot", format="png")["data"]))

    def read_logs(self):
        """Adds what was asked for and complained about since the last call."""
        for line in self.post("/se/log", type="performance"):
            message = json.loads(line["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self.addresses.append(message["params"]["request"]["url"])
        self.complaints += [line["message"] for line in self.post("/se/log", type="browser") if line["level"] in ("SEVERE", "WARNING")]


def wait_for(condition, what, seconds=20):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {seconds} s")


def state(browser):
    return browser.run("return document.getElementById('banner').dataset.status")


def check_first_view(browser):
    wait_for(lambda: browser.run("return document.documentElement.dataset.view") == "whole", "all frames")
    first = browser.run("return performance.getEntriesByName('first-view')[0].startTime")
    frames = browser.run("return document.querySelectorAll('.leaflet-rain-pane img').length")
    seen = browser.run("return [...document.querySelectorAll('.leaflet-rain-pane img')].filter(i => i.style.visibility === 'visible' && i.naturalWidth > 0).length")
    assert seen == 1, f"{seen} frames are seen at once"
    kind = browser.run("return document.getElementById('kind').dataset.kind")
    assert kind in ("observed", "filled"), f"the first frame is {kind}"
    print(f"first view after {first:.0f} ms, {frames} frames, banner: {browser.text('#word')}, {browser.text('#time')} {browser.text('#zone')}")


def check_time(browser):
    newest = browser.text("#time")
    browser.click("#play")
    wait_for(lambda: browser.text("#time") != newest, "playing")
    assert browser.run("return document.getElementById('play').ariaLabel") == "Pause"
    browser.run("document.activeElement.blur()")
    browser.keys("Space")
    assert browser.run("return document.getElementById('play').ariaLabel") == "Play", "the space bar does not pause"
    still = browser.text("#time")
    time.sleep(0.6)
    assert browser.text("#time") == still, "plays on after the pause"
    browser.run("document.getElementById('slider').focus()")
    browser.keys("Home")
    times = [browser.text("#time")]
    count = browser.run("return document.querySelectorAll('#track-drawing .step').length")
    for _ in range(count - 1):
        browser.keys("Right")
        times.append(browser.text("#time"))
    assert len(set(times)) == count, f"{len(set(times))} times in {count} frames: a gap holds the slider"
    browser.keys("Right")
    assert browser.text("#time") == times[-1], "the slider goes beyond its last frame"
    said = browser.run("return document.getElementById('slider').getAttribute('aria-valuetext')")
    assert said.startswith(times[-1]), f"the slider says {said!r} at {times[-1]}"
    seen = browser.run("return document.querySelectorAll('.leaflet-rain-pane img[style*=\"visibility: visible\"]').length")
    assert seen == 1, f"{seen} frames are seen at once"
    browser.click("#latest")
    assert browser.text("#time") == newest
    print(f"time: {count} frames from {times[0]} to {times[-1]}, last one said as {said!r}")


def check_place(browser):
    browser.click_at("#map", 0.5, 0.5)
    wait_for(lambda: browser.run("return !document.getElementById('point-chart').hidden"), "the rain at the middle of the map")
    title, sentence = browser.text("#point-title"), browser.text("#sentence")
    assert browser.run("return document.querySelectorAll('#point-chart svg text').length") > 4
    browser.run("document.getElementById('map').focus()")
    browser.keys(*["Right"] * 6, *["Down"] * 4, "Enter")
    wait_for(lambda: browser.text("#point-title") != title, "the cross-hair")
    moved = browser.text("#point-title")
    east = [float(text.split(", ")[1].split("°")[0]) for text in (title, moved)]
    north = [float(text.split(" at ")[1].split("°")[0]) for text in (title, moved)]
    assert east[1] > east[0] and north[1] < north[0], f"right and down went from {title} to {moved}"
    browser.keys("Escape")
    wait_for(lambda: browser.run("return document.getElementById('point-chart').hidden"), "letting go")
    browser.click_at("#map", 0.5, 0.5)
    wait_for(lambda: browser.text("#sentence") == sentence, "the same place again")
    print(f"place: {title}: {sentence}")


def check_choices(browser):
    browser.click("#clock label:nth-child(1)")
    local = browser.text("#time"), browser.text("#zone")
    browser.click("#clock label:nth-child(2)")
    utc = browser.text("#time"), browser.text("#zone")
    assert utc[1] == "UTC" and local[0] != utc[0] and local[0] in browser.text("#other-time"), f"clocks: {local}, {utc}, {browser.text('#other-time')}"
    for theme in ("dark", "light"):
        browser.click(f"#theme input[value={theme}] + span")
        assert browser.run("return document.documentElement.dataset.theme") == theme
    opacity = "return getComputedStyle(document.querySelector('.leaflet-rain-pane')).opacity"
    before = browser.run(opacity)
    browser.run("document.getElementById('opacity').focus()")
    browser.keys("Left", "Left")
    assert float(browser.run(opacity)) < float(before)
    browser.post("/refresh")
    wait_for(lambda: browser.run("return document.documentElement.dataset.view") == "whole", "the page again")
    assert browser.text("#zone") == "UTC" and browser.run("return document.documentElement.dataset.theme") == "light", "choices are forgotten"
    assert browser.text("#point-title") != "Rain at a place", "the place is forgotten"
    browser.click("#clock label:nth-child(1)")
    browser.click("#theme input[value=auto] + span")
    print(f"choices: {local[0]} {local[1]} is {utc[0]} {utc[1]}; kept after a reload")


def check_old_forecast(browser, expected):
    """Where there is no valid nowcast, a forecast that is still there says so in words."""
    browser.run("document.getElementById('slider').focus()")
    browser.keys("End")
    kind = browser.run("return document.getElementById('kind').dataset.kind")
    if expected in ("WITHHELD", "STALE"):
        assert kind != "forecast", "an old forecast looks valid"
    if kind == "old":
        assert browser.run("return !document.getElementById('old').hidden"), "an old forecast without a word"
        print(f"forecast: {browser.text('#kind')}: {browser.text('#old')}")


def check_names_and_focus(browser):
    """Everything that can be reached by Tab has a name, and shows when it is reached."""
    names = []
    for _ in range(40):
        browser.keys("Tab")
        if browser.run("return document.activeElement === document.body"):
            continue  # between the last and the first
        active = browser.call("GET", browser.session + "/element/active")[ELEMENT]
        name = browser.call("GET", f"{browser.session}/element/{active}/computedlabel")
        assert name, "no name: " + browser.run("return document.activeElement.outerHTML")
        seen = browser.run("""const e = document.activeElement, s = e.nextElementSibling;
            const on = (x, pseudo) => x && getComputedStyle(x, pseudo).outlineStyle !== 'none';
            return on(e) || (e.type === 'radio' && on(s)) || e.id === 'slider'""")
        assert seen, f"focus on {name} cannot be seen"
        if name in names:
            break
        names.append(name)
    assert len(names) >= 10, names
    print(f"keyboard: {len(names)} stops: {', '.join(names)}")


def check_fits(browser, what):
    wide, room = browser.run("return [document.documentElement.scrollWidth, innerWidth]")
    assert wide <= room, f"{what}: {wide} pixels wide in {room}"


def look(browser, folder, name):
    for screen, size in (("desk", DESK), ("phone", PHONE)):
        for theme in ("light", "dark"):
            browser.screen(size, theme)
            time.sleep(0.7)
            check_fits(browser, f"{screen}, {theme}")
            if folder:
                browser.picture(folder / f"{name}-{screen}-{theme}.png")
    if folder:
        browser.run("document.getElementById('side').scrollIntoView()")
        time.sleep(0.3)
        browser.picture(folder / f"{name}-phone-details.png")
    browser.screen(DESK)


def check_silence(browser, address):
    browser.read_logs()
    host = urllib.parse.urlsplit(address).netloc
    away = {url for url in browser.addresses if not url.startswith(("data:", "blob:", "about:", "chrome:")) and urllib.parse.urlsplit(url).netloc != host}
    assert not away, f"requests to others: {sorted(away)[:5]}"
    print(f"requests: {len(browser.addresses)}, all of them to {host}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address")
    parser.add_argument("--expect", help="OK, DEGRADED, WITHHELD, STALE or UNREACHABLE")
    parser.add_argument("--within", type=float, default=60, help="seconds for --expect")
    parser.add_argument("--pictures", type=pathlib.Path)
    parser.add_argument("--zone", default="Europe/Amsterdam", help="the browser's time zone; not UTC")
    given = parser.parse_args()
    missing = [program for program in ("chromedriver", "chromium") if not shutil.which(program)]
    if missing:
        print(f"{' and '.join(missing)} not installed (package chromium-driver): the page was not looked at")
        return
    if given.pictures:
        given.pictures.mkdir(parents=True, exist_ok=True)
    browser = Browser()
    try:
        browser.protocol("Emulation.setTimezoneOverride", timezoneId=given.zone)
        browser.screen(DESK)
        browser.post("/url", url=given.address)
        if given.expect:
            wait_for(lambda: state(browser) == given.expect, f"the state {given.expect}", given.within)
            icon = browser.run("return document.getElementById('icon').getAttribute('href')")
            assert icon == f"#icon-{given.expect}" and browser.text("#word").strip(), "colour alone"
            print(f"banner: {browser.text('#word')}: {browser.text('#reason')}")
            check_old_forecast(browser, given.expect)
            look(browser, given.pictures, given.expect.lower())
        else:
            check_first_view(browser)
            check_time(browser)
            check_place(browser)
            check_choices(browser)
            check_names_and_focus(browser)
            look(browser, given.pictures, "page")
            browser.read_logs()
            assert not browser.complaints, f"the console says: {browser.complaints[:5]}"
        check_silence(browser, given.address)
    finally:
        browser.close()
    print("page: passed")


if __name__ == "__main__":
    sys.exit(main())
