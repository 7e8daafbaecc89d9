"""Headless Chromium for tests of pages. The tests are skipped if Chromium or selenium is missing."""

import contextlib
import os
import shutil
import tempfile

import pytest

_OPTIONS = (
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    # Do not use /dev/shm, which is small in containers.
    '--disable-dev-shm-usage',
)
# Resolve no host names, so that a page cannot use the network even if its security policy allowed it.
_NO_NETWORK = '--host-resolver-rules=MAP * ~NOTFOUND'


@contextlib.contextmanager
def chromium(width=1400, height=900, dark=False):
    """Start a browser with this window size."""
    webdriver = pytest.importorskip(
        'selenium.webdriver', reason='needs selenium: pip install selenium'
    )
    program = (
        shutil.which('chromium')
        or shutil.which('chromium-browser')
        or shutil.which('google-chrome')
    )
    driver = shutil.which('chromedriver')
    if not program or not driver:
        pytest.skip('needs Chromium and its driver: apt-get install chromium chromium-driver')
    options = webdriver.ChromeOptions()
    options.binary_location = program
    options.set_capability('goog:loggingPrefs', {'browser': 'ALL'})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        sizes = [f'--window-size={width},{height}', f'--user-data-dir={profile}', _NO_NETWORK]
        scheme = ['--blink-settings=preferredColorScheme=0'] if dark else []
        for option in (*_OPTIONS, *sizes, *scheme):
            options.add_argument(option)
        service = webdriver.ChromeService(driver, log_output=os.devnull)
        browser = webdriver.Chrome(options=options, service=service)
        try:
            yield browser
        finally:
            browser.quit()


def open_page(browser, path, seconds=60):
    """Open a file and wait until its first image is drawn."""
    browser.set_page_load_timeout(seconds)
    browser.set_script_timeout(seconds)
    browser.get(path.absolute().as_uri())
    wait_for(
        browser, 'return Boolean(window.page?.content && window.page.viewer.panels.length)', seconds
    )


def wait_for(browser, script, seconds=20):
    """Wait until JavaScript returns a true value; return it."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, seconds, 0.05).until(lambda own: own.execute_script(script))


def errors_of(browser):
    """Return errors and warnings in the console, except for advice about reading pixels back."""
    entries = [entry for entry in browser.get_log('browser') if entry['level'] != 'INFO']
    return [e['message'] for e in entries if 'willReadFrequently' not in e['message']]
