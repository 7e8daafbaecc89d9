"""The HTML page in a real browser: colours at known pixels, slider, zoom, filter, errors, sorting and keyboard."""

import contextlib
import json
import re
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from browser import chromium, errors_of, open_page, wait_for

from mm_frelu.engine import UserError
from mm_frelu.visualization import error_map, image_scores, overlay
from mm_frelu.visualization import palette as colors
from mm_frelu.visualization.differences import SLIP, WRONG
from mm_frelu.visualization.page import Layer, PageClass, PageImage, PageWriter, shown_size
from mm_frelu.visualization.segmentation_page import SegmentationPage

CLASSES = ('road', 'pole', 'car', '天空')
PALETTE = [(128, 64, 128), (153, 153, 153), (0, 0, 142), (70, 130, 180)]
SIZE = (160, 80)


def scene(number):
    """A smooth image, ground truth with poles and an unlabelled edge, and two predictions; which one is better depends on the number."""
    width, height = SIZE
    generator = np.random.default_rng(number)
    rows, columns = np.mgrid[:height, :width]
    image = (
        np.stack([rows + 60, columns + 40, rows + columns], axis=2).clip(0, 255).astype(np.uint8)
    )
    truth = np.zeros((height, width), dtype=np.uint8)
    truth[:30] = 3
    truth[10:60, 40:44] = 1
    truth[50:70, 100:140] = 2
    truth[-5:] = 255
    predictions = {}
    for name, wrong in (('ReLU', number), ('FReLU', 5 - number)):
        labels = np.roll(np.where(truth == 255, 0, truth), 1, axis=1)
        for _ in range(2 + 3 * wrong):
            y, x = generator.integers(0, height - 12), generator.integers(0, width - 20)
            labels[y : y + 12, x : x + 20] = generator.integers(0, 4)
        predictions[name] = labels
    return image, predictions, truth


def write(path, numbers=range(6), **options):
    with SegmentationPage(path, ['ReLU', 'FReLU'], CLASSES, PALETTE, True, **options) as page:
        for number in numbers:
            page.add(f'city/scene_{number}', *scene(number))
    return path


@pytest.fixture(scope='module')
def opened(tmp_path_factory):
    with chromium() as browser:
        path = write(tmp_path_factory.mktemp('page') / 'comparison.html')
        yield browser, path


@pytest.fixture
def browser(opened):
    browser, path = opened
    browser.get('about:blank')
    open_page(browser, path)
    yield browser
    assert errors_of(browser) == []


def click(browser, selector):
    browser.execute_script('document.querySelector(arguments[0]).click()', selector)


def choose(browser, selector, value):
    script = 'const e = document.querySelector(arguments[0]); e.value = arguments[1]; e.dispatchEvent(new Event("change"));'
    browser.execute_script(script, selector, value)


def painted(browser, view):
    """Return what the page paints for a view, RGB at the size of the image."""
    flat = browser.execute_script(
        'const c = page.painted(arguments[0]); return Array.from(c.getContext("2d").getImageData(0, 0, c.width, c.height).data)',
        view,
    )
    return np.array(flat, dtype=np.uint8).reshape(*SIZE[::-1], 4)[..., :3]


def listed(browser):
    return browser.execute_script(
        'return [...document.querySelectorAll("#images .name")].map(e => e.textContent)'
    )


def values(browser):
    texts = browser.execute_script(
        'return [...document.querySelectorAll("#images .value")].map(e => e.textContent)'
    )
    return [float(text.replace('−', '-')) for text in texts]


def shown_number(browser):
    return int(wait_for(browser, 'return page.content && page.image.name')[-1])


def miou(number, model):
    _, predictions, truth = scene(number)
    return 100 * image_scores(predictions[model], truth, len(CLASSES)).mean_iou


def gain(number):
    return miou(number, 'FReLU') - miou(number, 'ReLU')


def test_opens_without_errors_and_sorted_by_gain(browser):
    order = sorted(range(6), key=gain, reverse=True)
    assert listed(browser) == [f'city/scene_{number}' for number in order]
    assert values(browser) == [pytest.approx(gain(number), abs=0.06) for number in order]
    assert shown_number(browser) == order[0]
    totals = browser.find_element('id', 'totals').text
    assert re.fullmatch(r'ReLU: mIoU \d+\.\d\s+FReLU: mIoU \d+\.\d', totals)
    assert browser.title == 'Segmentation: ReLU, FReLU'


def test_other_orders(browser):
    choose(browser, '#sort', 'loss')
    order = sorted(range(6), key=gain)
    assert listed(browser) == [f'city/scene_{number}' for number in order]
    wait_for(browser, f'return page.content && page.image.name.endsWith("{order[0]}")')
    choose(browser, '#sort', 'leftLow')
    assert values(browser) == sorted(values(browser))
    assert values(browser)[0] == pytest.approx(min(miou(n, 'ReLU') for n in range(6)), abs=0.06)
    choose(browser, '#sort', 'differ')
    _, predictions, _ = scene(int(listed(browser)[0][-1]))
    share = 100 * (predictions['ReLU'] != predictions['FReLU']).mean()
    assert values(browser)[0] == pytest.approx(share, abs=0.06)
    assert values(browser) == sorted(values(browser), reverse=True)
    choose(browser, '#sort', 'gain')
    choose(browser, '#sort-class', '1')  # the pole
    ious = [
        {m: image_scores(p, scene(n)[2], 4).class_ious[1] for m, p in scene(n)[1].items()}
        for n in range(6)
    ]
    expected = sorted((100 * (own['FReLU'] - own['ReLU']) for own in ious), reverse=True)
    assert values(browser) == [pytest.approx(value, abs=0.06) for value in expected]
    choose(browser, '#sort', 'name')
    assert listed(browser) == [f'city/scene_{number}' for number in range(6)]


def test_swapping_the_models_turns_the_order_around(browser):
    before = listed(browser)
    click(browser, '#swap')
    assert listed(browser) == before[::-1]
    names = [browser.find_element('id', f'{side}-name').text for side in ('left', 'right')]
    assert names == ['FReLU', 'ReLU']


def test_classes_are_painted_as_figures_paint_them(browser):
    image, predictions, truth = scene(shown_number(browser))
    expected = overlay.paint_labels(image, predictions['FReLU'], np.uint8(PALETTE), 0.65, outline=1)
    found = painted(browser, 'FReLU')
    # The photograph is a JPEG here.
    assert np.abs(found.astype(int) - expected).mean() < 2
    edge = overlay.outlines(predictions['FReLU'], 1)
    np.testing.assert_array_equal(found[edge], np.uint8(PALETTE)[predictions['FReLU'][edge]])
    unlabelled = {tuple(color) for color in painted(browser, 'Ground truth')[-1].tolist()}
    assert unlabelled == {colors.HATCH_DARK, colors.HATCH_LIGHT}


def test_error_view_agrees_with_the_error_maps_of_figures(browser):
    click(browser, '#modes input[value=errors]')
    number = shown_number(browser)
    image, predictions, truth = scene(number)
    states = error_map(predictions['ReLU'], truth)
    found = painted(browser, 'ReLU')
    slips = (found == colors.SLIP).all(axis=2)
    np.testing.assert_array_equal(slips, states == SLIP)
    grey = overlay.grey_of(image)[..., 0]
    wrong = states == WRONG
    expected = 0.7 * np.array(PALETTE)[predictions['ReLU'][wrong]] + 0.3 * grey[wrong][:, None]
    assert np.abs(found[wrong] - expected).mean() < 3
    click(browser, '#control-slips')
    assert not (painted(browser, 'ReLU') == colors.SLIP).all(axis=2).any()


def test_class_filter_shows_the_photograph_where_other_classes_are(browser):
    labels = scene(shown_number(browser))[1]['FReLU']
    before = painted(browser, 'FReLU')
    click(browser, '#no-classes')
    photograph = painted(browser, 'FReLU')
    assert np.abs(photograph.astype(int) - scene(0)[0]).mean() < 3
    click(browser, '#classes input[value="1"]')
    only = painted(browser, 'FReLU')
    np.testing.assert_array_equal(only[labels == 1], before[labels == 1])
    np.testing.assert_array_equal(only[labels != 1], photograph[labels != 1])
    click(browser, '#all-classes')
    np.testing.assert_array_equal(painted(browser, 'FReLU'), before)


def screen(browser, x, y):
    """The colour of a pixel of the first panel, by shares of its width and height."""
    return tuple(
        browser.execute_script(
            'page.viewer.drawNow(); const c = page.viewer.panels[0].canvas;'
            'return Array.from(c.getContext("2d").getImageData(c.width * arguments[0], c.height * arguments[1], 1, 1).data.slice(0, 3))',
            x,
            y,
        )
    )


def test_slider_shows_left_and_right_of_its_handle(browser):
    from selenium.webdriver.common.action_chains import ActionChains

    choose(browser, '#left', 'Ground truth')
    script = 'page.showClasses(() => true); page.state.settings.opacity = 1; page.repaint();'
    browser.execute_script(script)
    _, predictions, truth = scene(shown_number(browser))
    maps = dict(left=truth, right=predictions['FReLU'])
    place = browser.execute_script(
        'return page.viewer.place(page.viewer.panels[0].frame.getBoundingClientRect())'
    )
    frame = browser.execute_script(
        'const b = page.viewer.panels[0].frame.getBoundingClientRect(); return [b.width, b.height]'
    )
    rows, columns = np.nonzero((truth < 255) & (truth != predictions['FReLU']))
    middle = len(rows) // 2
    y, x = rows[middle], columns[middle]
    at = (
        (place['x'] + (x + 0.5) / SIZE[0] * place['width']) / frame[0],
        (place['y'] + (y + 0.5) / SIZE[1] * place['height']) / frame[1],
    )
    for split, side in ((1, 'left'), (0, 'right')):
        browser.execute_script('page.setSplit(arguments[0])', split)
        assert screen(browser, *at) == PALETTE[maps[side][y, x]], side
    browser.execute_script('page.setSplit(0.5); page.viewer.drawNow()')
    handle = browser.find_element('css selector', '.handle')
    ActionChains(browser).drag_and_drop_by_offset(handle, 100, 0).perform()
    moved = browser.execute_script('return page.viewer.split') - 0.5
    assert moved == pytest.approx(100 / frame[0], abs=0.01)
    assert float(browser.find_element('id', 'split').get_attribute('value')) == pytest.approx(
        100 * (0.5 + moved), abs=0.6
    )


def test_zoom_and_pan_move_all_panels_together(browser):
    click(browser, '#layouts input[value=grid]')
    views = browser.execute_script('return page.viewer.panels.map(panel => panel.views[0])')
    assert views[1:] == ['Ground truth', 'ReLU', 'FReLU']
    places = (
        'return page.viewer.panels.map(p => page.viewer.place(p.frame.getBoundingClientRect()))'
    )
    before = browser.execute_script(places)
    wheel = """
        const canvas = page.viewer.panels[1].canvas, box = canvas.getBoundingClientRect();
        canvas.dispatchEvent(new WheelEvent('wheel', {deltaY: -480, clientX: box.left + 0.25 * box.width,
            clientY: box.top + box.height / 2, cancelable: true}));
        page.viewer.drawNow();"""
    browser.execute_script(wheel)
    after = browser.execute_script(places)
    assert len({json.dumps(place) for place in after}) == 1
    assert after[0]['width'] == pytest.approx(4 * before[0]['width'])
    # The point under the pointer does not move.
    pointer = 0.25 * browser.execute_script(
        'return page.viewer.panels[1].frame.getBoundingClientRect().width'
    )
    share = [(pointer - own[0]['x']) / own[0]['width'] for own in (before, after)]
    assert share[0] == pytest.approx(share[1], abs=1e-6)
    pan = """
        const canvas = page.viewer.panels[2].canvas;
        const send = (type, x) => canvas.dispatchEvent(new PointerEvent(type, {pointerId: 1, clientX: x, clientY: 300, bubbles: true}));
        canvas.setPointerCapture = () => {};
        send('pointerdown', 400); send('pointermove', 430); send('pointerup', 430); page.viewer.drawNow();"""
    browser.execute_script(pan)
    panned = browser.execute_script(places)
    assert len({json.dumps(place) for place in panned}) == 1
    assert panned[0]['x'] - after[0]['x'] == pytest.approx(30)
    click(browser, '#fit')
    browser.execute_script('page.viewer.drawNow()')
    assert browser.execute_script(places)[0] == pytest.approx(before[0])


def test_keyboard(browser):
    from selenium.webdriver.common.keys import Keys

    body = browser.find_element('tag name', 'body')
    order = listed(browser)
    body.send_keys('j')
    assert wait_for(
        browser, f'return page.image.name === {json.dumps(order[1])} && page.image.name'
    )
    body.send_keys('k')
    wait_for(browser, f'return page.image.name === {json.dumps(order[0])}')
    body.send_keys('g')
    assert browser.find_element('id', 'stage').get_attribute('data-layout') == 'grid'
    body.send_keys('e')
    assert browser.execute_script('return page.state.mode') == 'errors'
    body.send_keys('+')
    assert browser.execute_script('return page.viewer.zoom') == 1.5
    body.send_keys('?')
    assert browser.find_element('id', 'help').is_displayed()
    body.send_keys(Keys.ESCAPE)
    assert not browser.find_element('id', 'help').is_displayed()


def test_selecting_an_image_scrolls_the_list_only(browser):
    size = browser.get_window_size()
    browser.set_window_size(500, 500)  # the list is below the viewer
    try:
        browser.refresh()
        order = listed(browser)
        for key, name in (('', order[0]), ('jjjjj', order[5])):
            browser.find_element('tag name', 'body').send_keys(key)
            wait_for(browser, f'return page.content && page.image.name === {json.dumps(name)}')
            assert browser.execute_script('return window.scrollY') == 0
        # The last image is in view inside of the list.
        below = 'return document.querySelector("#images [aria-current=true]").getBoundingClientRect().bottom'
        frame = 'return document.querySelector("#images").getBoundingClientRect().bottom'
        assert browser.execute_script(below) <= browser.execute_script(frame) + 1
    finally:
        browser.set_window_size(size['width'], size['height'])


def test_every_control_has_a_label(browser):
    nameless = browser.execute_script(
        'return [...document.querySelectorAll("input, select, button")].filter(e => !(e.labels?.length || e.getAttribute("aria-label")'
        ' || e.textContent.trim())).map(e => e.outerHTML)'
    )
    assert nameless == []


def test_table_has_the_scores_of_the_image_and_of_all(browser):
    number = shown_number(browser)
    _, predictions, truth = scene(number)
    ious = [image_scores(p, truth, 4).class_ious for p in predictions.values()]
    cells = 'return [...document.querySelectorAll("#classes tr")].map(r => [...r.cells].slice(1).map(c => c.textContent))'
    rows = browser.execute_script(cells)
    for row, left, right in zip(rows[1:], *ious):
        assert float(row[0]) == pytest.approx(100 * left, abs=0.06)
        assert float(row[1]) == pytest.approx(100 * right, abs=0.06)
    click(browser, '#scopes input[value=all]')
    pooled = [
        np.concatenate(maps)
        for maps in zip(*((scene(n)[1]['FReLU'], scene(n)[2]) for n in range(6)))
    ]
    total = image_scores(*pooled, 4)
    rows = browser.execute_script(cells)
    assert float(rows[0][1]) == pytest.approx(100 * total.mean_iou, abs=0.06)
    assert float(rows[2][1]) == pytest.approx(100 * total.class_ious[1], abs=0.06)


def test_status_line_says_what_is_under_the_pointer(browser):
    number = shown_number(browser)
    _, predictions, truth = scene(number)
    y, x = np.argwhere((truth == 1) & (predictions['ReLU'] != 1) & (predictions['FReLU'] != 1))[
        0
    ].tolist()
    browser.execute_script('page.describe([arguments[0], arguments[1]])', x, y)
    text = browser.find_element('id', 'readout').text
    wrong = CLASSES[predictions['ReLU'][y, x]]
    assert text.startswith(f'{x}, {y}')
    assert f'ReLU: {wrong} ✗' in text
    assert 'Ground truth: pole' in text


def test_an_address_leads_to_an_image_and_its_view(opened):
    browser, path = opened
    browser.get('about:blank')
    browser.get(path.as_uri() + '#image=city%2Fscene_3&left=Ground+truth&layout=grid&mode=errors')
    wait_for(browser, 'return Boolean(window.page?.content)')
    state = browser.execute_script(
        'return [page.image.name, page.state.left, page.state.layout, page.state.mode]'
    )
    assert state == ['city/scene_3', 'Ground truth', 'grid', 'errors']
    assert errors_of(browser) == []


def test_without_ground_truth_images_are_sorted_by_difference(opened, tmp_path):
    browser, _ = opened
    with SegmentationPage(tmp_path / 'page.html', ['A', 'B'], CLASSES, PALETTE) as page:
        for number in (1, 4):
            image, predictions, _ = scene(number)
            page.add(str(number), image, dict(zip('AB', predictions.values())))
    open_page(browser, tmp_path / 'page.html')
    assert browser.find_element('id', 'sort').get_attribute('value') == 'differ'
    assert values(browser) == sorted(values(browser), reverse=True)
    modes = browser.execute_script(
        'return [...document.querySelectorAll("#modes input")].map(e => e.value)'
    )
    assert modes == ['classes', 'differences']
    assert errors_of(browser) == []


def test_the_page_is_one_file_that_asks_for_nothing(opened):
    text = opened[1].read_text(encoding='utf-8')
    assert "default-src 'none'" in text
    assert not re.search(r'(src|href)="(?!data:)', text)
    assert 'http://' not in text
    assert 'https://' not in text
    assert [file.name for file in opened[1].parent.iterdir()] == [opened[1].name]


def test_names_cannot_break_the_page(opened, tmp_path):
    browser, _ = opened
    name = '</script><b>{{index}}&amp; "x"'
    classes = [PageClass('<i>', (1, 2, 3))]
    image = np.zeros((8, 8, 3), np.uint8)
    painter = 'definePainter({decode: async ({data}) => data, describe: () => "seen"});'
    path = tmp_path / 'page.html'
    with PageWriter(path, title=name, models=[name], classes=classes, painter=painter) as page:
        page.add(PageImage(name, image, {name: Layer()}))
    open_page(browser, path)
    assert browser.title == name
    assert listed(browser) == [name]
    assert errors_of(browser) == []


def test_a_page_that_was_cut_says_so(opened, tmp_path):
    browser, path = opened
    text = path.read_text(encoding='utf-8')
    cut = tmp_path / 'cut.html'
    cut.write_text(text[: text.rindex('<script type="text/plain"') + 60], encoding='utf-8')
    browser.get(cut.as_uri() + '#image=city%2Fscene_5')
    wait_for(
        browser, 'return document.getElementById("readout").textContent.includes("not complete")'
    )


def test_nothing_is_written_when_something_fails_or_nothing_was_added(tmp_path):
    path = tmp_path / 'page.html'
    path.write_text('before')
    page = SegmentationPage(path, ['A'], CLASSES)
    page.__enter__()
    page.add('x', scene(0)[0], {'A': scene(0)[2] * 0})
    page.__exit__(KeyError, KeyError(), None)
    with SegmentationPage(path, ['A'], CLASSES):
        pass
    assert path.read_text() == 'before'
    assert [file.name for file in tmp_path.iterdir()] == ['page.html']


def test_bad_input_is_named(tmp_path):
    classes = [PageClass('road', (0, 0, 0))]
    image = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(UserError, match='is a folder'):
        PageWriter(tmp_path, title='', models=['A'], classes=classes, painter='')
    path = tmp_path / 'page.html'
    with pytest.raises(ValueError, match="layers of the page have the name 'A'"):
        PageWriter(path, title='', models=['A', 'A'], classes=classes, painter='')
    with PageWriter(path, title='', models=['A'], classes=classes, painter='') as page:
        with pytest.raises(ValueError, match="no layer 'B'"):
            page.add(PageImage('x', image, {'B': Layer()}))
        with pytest.raises(ValueError, match='2 scores for 1 classes'):
            page.add(PageImage('x', image, {}, class_scores={'A': [1, 2]}))
        with pytest.raises(ValueError, match='uint8'):
            page.add(PageImage('x', image.astype(float), {}))


def test_large_images_are_reduced_and_say_by_how_much(opened, tmp_path):
    browser, _ = opened
    assert shown_size((20000, 500)) == (2048, 51)
    assert shown_size((300, 200)) == (300, 200)
    image = np.zeros((500, 20000, 3), np.uint8)
    labels = np.zeros((500, 20000), np.uint8)
    labels[:, 10000:] = 2
    with SegmentationPage(tmp_path / 'wide.html', ['A'], CLASSES, PALETTE) as page:
        page.add('wide', image, {'A': labels})
    open_page(browser, tmp_path / 'wide.html')
    browser.execute_script('page.describe([1600, 20])')
    text = browser.find_element('id', 'readout').text
    assert text.startswith('15625, 1')
    assert 'A: car' in text


@pytest.mark.slow
def test_500_images_of_cityscapes_size_stay_usable(tmp_path):
    """Prints file size, seconds until the first image and for the next ones, and memory of the browser."""
    generator = np.random.default_rng(0)
    noise = generator.normal(0, 5, (1024, 2048, 3))
    kinds = []
    for _ in range(8):
        small = np.kron(generator.integers(0, 256, (16, 32, 3)), np.ones((64, 64, 1), int))
        image = (0.5 * small + 60 + noise).clip(0, 255).astype(np.uint8)
        layers = {}
        for name in ('Ground truth', 'ReLU', 'FReLU'):
            # About as many boundaries as CityScapes' label maps have.
            labels = np.kron(generator.integers(0, 19, (64, 128)), np.ones((16, 16), int)).astype(
                np.uint8
            )
            blob = dict(labels=zlib.compress(labels.tobytes(), 6))
            layers[name] = Layer(dict(bits=8, slip=5), blob)
        kinds.append((image, layers))
    path = tmp_path / 'large.html'
    names = [f'class {number}' for number in range(19)]
    with SegmentationPage(path, ['ReLU', 'FReLU'], names, None, True) as page:
        for number in range(500):
            image, layers = kinds[number % 8]
            scores = dict(ReLU=generator.random(), FReLU=generator.random())
            parts = {name: generator.random(19).tolist() for name in scores}
            page._page.add(PageImage(f'image_{number:03d}', image, layers, scores, parts))
    with chromium() as browser:
        start = time.monotonic()
        open_page(browser, path, 300)
        first = time.monotonic() - start
        wait_for(browser, 'return document.readyState === "complete"', 300)
        complete = time.monotonic() - start
        start = time.monotonic()
        for number in (499, 250, 125, 60, 30):
            browser.execute_async_script(
                'const [n, done] = arguments; page.open(n).then(() => { page.viewer.drawNow(); done(); })',
                number,
            )
        each = (time.monotonic() - start) / 5
        start = time.monotonic()
        choose(browser, '#sort', 'loss')
        sorting = time.monotonic() - start
        assert values(browser) == sorted(values(browser))
        thumbnails = browser.execute_script(
            'return [...document.querySelectorAll("#images img")].filter(e => e.src).length'
        )
        assert thumbnails < 250  # those that were near on the way
        memory = browser.execute_script('return performance.memory.usedJSHeapSize') / 1e6
        resident = _resident(browser.service.process.pid) / 1e6
        assert errors_of(browser) == []
    print(
        f'\n{path.stat().st_size / 1e6:.0f} MB; first image {first:.1f} s, all read {complete:.1f} s, another image {each:.2f} s, '
        f'sorting {sorting:.2f} s; JavaScript heap {memory:.0f} MB, browser {resident:.0f} MB',
        file=sys.stderr,
    )
    assert each < 5


def _resident(pid):
    """Return the resident bytes of a process and its descendants. Shared memory is counted for each process."""
    parents = {}
    for entry in Path('/proc').glob('[0-9]*/stat'):
        with contextlib.suppress(OSError):
            fields = entry.read_text().rpartition(')')[2].split()
            parents[int(entry.parent.name)] = int(fields[1]), int(fields[21]) * 4096
    family = {pid}
    for _ in range(6):
        family |= {own for own, (parent, _) in parents.items() if parent in family}
    return sum(parents[own][1] for own in family if own in parents)
