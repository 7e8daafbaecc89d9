"""The HTML page of detections: its data, and in a real browser its labels, thresholds and sorting."""

import json
import re
import shutil

import numpy as np
import pytest

from mm_frelu.evaluation.average_precision import average_precision
from mm_frelu.evaluation.boxes import Detections, TrueBoxes
from mm_frelu.visualization.detection_page import DetectionPage

CLASSES = ('person', 'car')
TRUTH = TrueBoxes.of([[20, 20, 80, 100], [100, 40, 190, 110]], [0, 1])
GOOD = Detections.of(TRUTH.boxes, [0, 1], [0.9, 0.8])
POOR = Detections.of(
    [[20, 20, 80, 100], [22, 20, 82, 100], [100, 40, 150, 110], [5, 5, 15, 15]],
    [0, 0, 0, 1],
    [0.9, 0.6, 0.5, 0.2],
)


@pytest.fixture(scope='module')
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp('page') / 'index.html'
    image = np.full((120, 200, 3), 90, np.uint8)
    predictions = {'A </script>': [POOR, GOOD], 'B': [GOOD, POOR]}
    truth = {0: TRUTH, 1: TRUTH}
    precisions = {
        name: average_precision(truth, dict(enumerate(found)), 2)
        for name, found in predictions.items()
    }
    names = list(predictions)
    with DetectionPage(path, names, CLASSES, None, {'B': 0.7}, precisions) as page:
        for key in truth:
            boxes = {name: predictions[name][key] for name in names}
            page.add(key, f'scene {key}', image, boxes, truth[key])
    return path


def test_data_of_the_page(page):
    text = page.read_text()
    index = json.loads(
        re.search(r'<script type="application/json" id="index">(.*?)</script>', text, re.DOTALL)[1]
    )
    assert index['models'] == ['A </script>', 'B']
    assert index['truth'] == 'Ground truth'
    first = index['images'][0]
    layer = first['layers']['A </script>']['data']
    # hit, duplicate, wrong class (its overlap with the car is 0.56), nothing there
    assert layer['kinds'] == [0, 4, 1, 5]
    assert layer['partners'] == [0, 0, 1, -1]
    assert first['scores']['B'] == 1.0
    assert first['classScores']['A </script>'][1] == 0.0
    assert 'src="http' not in text


@pytest.fixture(scope='module')
def browser(page):
    webdriver = pytest.importorskip('selenium.webdriver')
    chromium, driver = shutil.which('chromium'), shutil.which('chromedriver')
    if not chromium or not driver:
        pytest.skip(
            'chromium and chromedriver are not installed (Debian: chromium, chromium-driver)'
        )
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    profile = page.parent / 'profile'
    for argument in (
        'headless', 'no-sandbox', 'disable-gpu', 'disable-quic', 'no-first-run', 'disable-background-networking',
        'disable-component-update', 'disable-sync', 'window-size=1400,900', f'user-data-dir={profile}',
    ):  # fmt: skip
        options.add_argument(f'--{argument}')
    options.set_capability('goog:loggingPrefs', {'browser': 'ALL'})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    driver.get(page.as_uri())
    yield driver
    driver.quit()


def labels(browser, name):
    """Labels that the page drew for a model: text and rectangle."""
    return browser.execute_async_script(
        """const [name, done] = arguments;
        const look = () => {
          const found = [...document.querySelectorAll('canvas')].map((canvas) => canvas.boxLabels?.[name]).filter(Boolean);
          if (found.length) done(found[0]); else setTimeout(look, 50);
        };
        setTimeout(look, 150);""",
        name,
    )


def set_value(browser, control, value):
    browser.execute_script(
        """const input = document.getElementById(arguments[0]); input.value = arguments[1];
        input.dispatchEvent(new Event('input', {bubbles: true})); input.dispatchEvent(new Event('change', {bubbles: true}));""",
        control,
        value,
    )


def test_in_a_browser(browser):
    browser.set_script_timeout(20)
    set_value(browser, 'sort', 'order')
    # Sorted as the files are, the first image is where A is poor.
    browser.execute_script('page.open(0)')
    texts = {label['text'] for label in labels(browser, 'A </script>')}
    assert texts == {
        'person 0.90',
        'person 0.60',
        'person 0.50',
    }  # at least 0.3; the car is found in the wrong class
    set_value(browser, 'control-score-A </script>', 0.7)
    texts = {label['text'] for label in labels(browser, 'A </script>')}
    assert texts == {'person 0.90', 'car'}  # now it is missed
    set_value(browser, 'control-score-A </script>', 0.05)
    drawn = labels(browser, 'A </script>')
    for i, a in enumerate(drawn):
        for b in drawn[i + 1 :]:
            across = min(a['x'] + a['width'], b['x'] + b['width']) - max(a['x'], b['x'])
            down = min(a['y'] + a['height'], b['y'] + b['height']) - max(a['y'], b['y'])
            assert across <= 0 or down <= 0, (a, b)
    # B has its own threshold at the start.
    assert browser.find_element('id', 'control-score-B').get_attribute('value') == '0.7'
    set_value(browser, 'sort', 'gain')
    order = browser.execute_script('return page.list.order')
    assert order == [0, 1]  # B gains on the first
    set_value(browser, 'sort', 'loss')
    assert browser.execute_script('return page.list.order') == [1, 0]
    assert [entry for entry in browser.get_log('browser') if entry['level'] == 'SEVERE'] == []
