'use strict';
// State, and what connects list, viewer and table of classes.
//
// A painter draws what a model predicted. It is given by definePainter({
//   modes:    [{id, label, needsTruth}]                  ways of drawing; the first is the default
//   controls: [{id, label, type: 'range', min, max, step, value, perModel} or {id, label, type: 'checkbox', value}]
//             Settings; with perModel there is one for each model, and its value is settings[id][model];
//             values: {model: value} in place of value says where each starts.
//   decode:   async ({data, blobs}, image) => decoded     once per layer when an image is opened; blobs are ArrayBuffers
//   paint:    (context, scene) => {}                      draws at the image's size, over nothing; kept until a setting changes
//   overlay:  (context, scene, place) => {}               draws on the screen at each frame: lines and text that do not scale;
//             place is {x, y, width, height} of the image in CSS pixels, so x on the screen = place.x + x / image.width * place.width
//   describe: (scene, x, y) => text                       what the status line says about a pixel
// }). All but decode may be left out. A scene is {
//   name, isTruth, image (entry of the index: width, height, scale, originalSize, ...), photo (ImageBitmap),
//   layer (decoded), truth (decoded, or undefined), other (decoded: of the right view for the left one, of the left one for all others),
//   visible (Uint8Array by class), mode, settings, classes: [{name, color}] }.

let painter = {};
function definePainter(given) { painter = given; }

const byId = (id) => document.getElementById(id);
const PHOTO = '\u0000photo'; // a view that no model can be called
const KEPT_IMAGES = 4;

class Page {
  constructor(index) {
    this.index = index;
    this.views = [PHOTO, ...(index.truth ? [index.truth] : []), ...index.models];
    const { models, truth } = index;
    this.state = {
      image: 0, layout: 'slider', mode: '', scope: 'image', settings: {}, order: 'index', downwards: false,
      left: models.length > 1 ? models[0] : truth || PHOTO, right: models[models.length > 1 ? 1 : 0],
      visible: new Uint8Array(index.classes.length).fill(1),
    };
    this.version = 0;
    this.opened = new Map();
    this.viewer = new Viewer(byId('stage'), {
      draw: (context, view, place) => this.drawView(context, view, place),
      size: () => [this.image.width, this.image.height],
      onHover: (pixel) => this.describe(pixel),
      onSplit: (share) => this.setSplit(share),
      onZoom: (scale) => { byId('zoom').value = `${Math.round(100 * scale)} %`; },
    });
    this.list = new ImageList(byId('images'), index.images, { onSelect: (number) => this.open(number) });
    this.fillMenus();
    this.fillClasses();
    this.listen();
    this.readAddress();
    this.sort();
    this.open(this.fromAddress ?? this.list.order[0] ?? 0);
  }

  get image() { return this.index.images[this.state.image]; }

  label(view) { return view === PHOTO ? 'Image' : view; }

  // ---- data

  // The bytes of a block; the browser may still be reading the file.
  async block([number, length]) {
    for (;;) {
      const text = byId(`b${number}`)?.textContent ?? '';
      if (text.length === length) {
        const bytes = atob(text);
        const array = new Uint8Array(bytes.length);
        for (let place = 0; place < bytes.length; place += 1) array[place] = bytes.charCodeAt(place);
        return array.buffer;
      }
      if (document.readyState !== 'loading') throw new Error(`This page is not complete: block ${number} is missing or cut.`);
      await new Promise((resolve) => { setTimeout(resolve, 100); });
    }
  }

  async load(number) {
    if (this.opened.has(number)) {
      const kept = this.opened.get(number);
      this.opened.delete(number); // the last one that was used goes last
      this.opened.set(number, kept);
      return kept;
    }
    const image = this.index.images[number];
    const loading = (async () => {
      const photo = await createImageBitmap(new Blob([await this.block(image.photo)], { type: 'image/jpeg' }));
      const layers = {};
      for (const [name, layer] of Object.entries(image.layers)) {
        const blobs = {};
        for (const [key, reference] of Object.entries(layer.blobs)) blobs[key] = await this.block(reference);
        layers[name] = await painter.decode({ data: layer.data, blobs }, image);
      }
      return { photo, layers, painted: new Map() };
    })();
    this.opened.set(number, loading);
    loading.catch(() => this.opened.delete(number));
    for (const [old] of this.opened) {
      if (this.opened.size <= KEPT_IMAGES) break;
      if (old !== this.state.image) this.opened.delete(old);
    }
    return loading;
  }

  async open(number) {
    if (number === undefined || !this.index.images.length) return;
    this.state.image = number;
    this.list.select(number);
    try {
      const content = await this.load(number);
      if (this.state.image !== number) return; // another one was asked for meanwhile
      this.content = content;
      this.problem = '';
    } catch (error) {
      if (this.state.image !== number) return;
      this.content = null;
      this.problem = error.message;
    }
    byId('stage').dataset.image = this.image.name;
    this.update();
    this.writeAddress();
    clearTimeout(this.prefetch);
    this.prefetch = setTimeout(() => {
      const next = this.list.neighbour(number, 1);
      if (next !== undefined && document.readyState !== 'loading') this.load(next).catch(() => {});
    }, 300);
  }

  scene(view) {
    const { truth, classes } = this.index;
    const { left, right, visible, mode, settings } = this.state;
    const { photo, layers } = this.content;
    return {
      name: view, isTruth: view === truth, image: this.image, photo, layer: layers[view], truth: layers[truth],
      other: layers[view === left ? right : left], visible, mode, settings, classes,
    };
  }

  // ---- drawing

  drawView(context, view, place) {
    if (!this.content) return;
    const box = [place.x, place.y, place.width, place.height];
    if (view === PHOTO || !this.content.layers[view]) {
      context.drawImage(this.content.photo, ...box);
      return;
    }
    context.drawImage(painter.paint ? this.painted(view) : this.content.photo, ...box);
    painter.overlay?.(context, this.scene(view), place);
  }

  painted(view) {
    const { painted } = this.content;
    const known = painted.get(view);
    if (known?.version === this.version) return known.canvas;
    const canvas = known?.canvas ?? element('canvas', { width: this.image.width, height: this.image.height });
    painter.paint(canvas.getContext('2d'), this.scene(view));
    painted.set(view, { version: this.version, canvas });
    return canvas;
  }

  // Something changed how layers are drawn.
  repaint() {
    this.version += 1;
    this.viewer.redraw();
  }

  caption(view) {
    const score = this.image.scores[view];
    return {
      name: this.label(view),
      score: score === undefined ? '' : `${this.index.meanMeasure} ${percent(score)}`,
      remarks: this.image.layers[view]?.remarks ?? [],
    };
  }

  update() {
    const { left, right, layout } = this.state;
    const panels = layout === 'slider'
      ? [{ views: [left, right], captions: [this.caption(left), this.caption(right)] }]
      : this.views.map((view) => ({ views: [view], captions: [this.caption(view)] }));
    if (!this.index.images.length) return;
    this.viewer.show(panels);
    this.fillTable();
  }

  describe(pixel) {
    const { left, right, layout } = this.state;
    if (!pixel || !this.content) { byId('readout').textContent = this.summary(); return; }
    const views = layout === 'slider' ? [left, right] : this.views;
    const named = [...new Set([...views, this.index.truth])].filter((view) => this.content.layers[view]);
    const texts = named.map((view) => [this.label(view), painter.describe?.(this.scene(view), ...pixel)]);
    const position = pixel.map((x) => Math.floor(x / this.image.scale)).join(', ');
    byId('readout').textContent = [position, ...texts.filter(([, text]) => text).map((pair) => pair.join(': '))].join('  ·  ');
  }

  summary() {
    const { left, right, layout } = this.state;
    if (this.problem) return this.problem;
    if (layout === 'grid') return `${this.image.name}, ${this.image.originalSize.join(' × ')} pixels`;
    return [left, right].map((view) => this.caption(view)).map(({ name, score, remarks }) => [name, score, ...remarks]
      .filter(Boolean).join(', ')).join('  ·  ');
  }

  // ---- menus, table

  fillMenus() {
    for (const side of ['left', 'right']) {
      byId(side).append(...this.views.map((view) => new Option(this.label(view), view)));
      byId(side).value = this.state[side];
    }
    const { meanMeasure, classes, images, models, totals, notes } = this.index;
    byId('sort-class').append(new Option(meanMeasure, -1), ...classes.map(({ name }, number) => new Option(name, number)));
    const has = {
      '': true, scores: images.some((image) => Object.values(image.scores).some((value) => value !== null)),
      differences: images.some((image) => image.differences.length),
    };
    has.both = has.scores && models.length > 1;
    byId('sort').append(...Object.entries(ORDERS).filter(([, { needs }]) => has[needs])
      .map(([id, { label }]) => new Option(label, id)));
    byId('sort-class').parentElement.hidden = !has.scores;
    byId('totals').append(...models.filter((name) => totals[name]).map((name) => element('span', {}, `${name}: ${meanMeasure} `,
      element('b', { textContent: percent(totals[name].score) }))));
    byId('notes').append(...notes.map((note) => element('p', { textContent: note })));
    byId('scopes').hidden = !Object.keys(totals).length;
  }

  // After the painter is known: its modes and controls.
  fillPainter() {
    const modes = (painter.modes ?? []).filter((mode) => this.index.truth || !mode.needsTruth);
    this.state.mode = modes.some(({ id }) => id === this.state.mode) ? this.state.mode : modes[0]?.id;
    byId('modes').append(...modes.map(({ id, label }) => {
      const input = element('input', { type: 'radio', name: 'mode', value: id, checked: id === this.state.mode });
      return element('label', {}, input, ` ${label}`);
    }));
    byId('modes').hidden = modes.length < 2;
    for (const control of painter.controls ?? []) {
      const names = control.perModel ? this.index.models : [null];
      if (control.perModel) this.state.settings[control.id] = {};
      for (const name of names) {
        const start = control.values?.[name] ?? control.value;
        const input = element('input', { type: control.type, id: `control-${control.id}${name === null ? '' : `-${name}`}` });
        const shown = element('output', { textContent: control.type === 'range' ? start : '' });
        const read = () => {
          const value = control.type === 'checkbox' ? input.checked : Number(input.value);
          if (name === null) this.state.settings[control.id] = value; else this.state.settings[control.id][name] = value;
          if (control.type === 'range') shown.textContent = value;
        };
        if (control.type === 'checkbox') input.checked = control.value;
        else Object.assign(input, { min: control.min, max: control.max, step: control.step, value: start });
        read();
        input.addEventListener('input', () => { read(); this.repaint(); });
        byId('controls').append(element('label', {}, name === null ? control.label : `${control.label} ${name}`, input, shown));
      }
    }
  }

  fillClasses() {
    const { classes } = this.index;
    this.rows = classes.map(({ name, color }, number) => {
      const box = element('input', { type: 'checkbox', checked: true, value: number });
      const swatch = element('span', { className: 'swatch' });
      swatch.style.background = `rgb(${color.join(' ')})`;
      const label = element('label', { title: `${name}; double-click to show it alone` }, box, swatch, name);
      const cells = ['left', 'right', 'gain'].map(() => element('td'));
      box.addEventListener('change', () => this.showClasses((own) => (own === number ? box.checked : this.state.visible[own])));
      label.addEventListener('dblclick', (event) => { event.preventDefault(); this.showClasses((own) => own === number); });
      return { row: element('tr', {}, element('td', {}, label), ...cells), box, cells, number, name };
    });
    this.mean = { cells: ['left', 'right', 'gain'].map(() => element('td')) };
    this.mean.row = element('tr', { className: 'mean' }, element('td', { textContent: this.index.meanMeasure }), ...this.mean.cells);
    this.showsScores = this.index.images.some((image) => Object.keys(image.classScores).length);
    byId('scopes').hidden ||= !this.showsScores;
  }

  showClasses(isVisible) {
    this.rows.forEach(({ box, number }) => {
      this.state.visible[number] = isVisible(number) ? 1 : 0;
      box.checked = Boolean(this.state.visible[number]);
    });
    this.repaint();
  }

  fillTable() {
    const { left, right, scope, order, downwards } = this.state;
    const totals = this.index.totals;
    const mean = (view) => (scope === 'all' ? totals[view]?.score : this.image.scores[view]) ?? null;
    const parts = (view) => (scope === 'all' ? totals[view]?.classes : this.image.classScores[view]) ?? [];
    const fill = (cells, a, b) => {
      const gain = difference(b, a);
      cells[0].textContent = percent(a);
      cells[1].textContent = percent(b);
      cells[2].textContent = percent(gain, true);
      cells[2].className = gain ? (gain > 0 ? 'gain' : 'loss') : '';
      return { index: 0, left: a, right: b, gain };
    };
    fill(this.mean.cells, mean(left), mean(right));
    for (const entry of this.rows) {
      const a = parts(left)[entry.number] ?? null;
      const b = parts(right)[entry.number] ?? null;
      entry.values = { ...fill(entry.cells, a, b), index: entry.number };
      entry.row.className = a === null && b === null && this.showsScores ? 'absent' : '';
    }
    const sign = downwards ? -1 : 1;
    const rank = ({ values }) => (values[order] === null ? Infinity : sign * values[order]);
    const sorted = [...this.rows].sort((a, b) => (rank(a) === rank(b) ? a.number - b.number : rank(a) - rank(b)));
    byId('classes').replaceChildren(...(this.showsScores ? [this.mean.row] : []), ...sorted.map(({ row }) => row));
    byId('left-name').textContent = byId('left-name').title = this.label(left);
    byId('right-name').textContent = byId('right-name').title = this.label(right);
    for (const button of document.querySelectorAll('aside th button')) {
      const own = button.dataset.order === order;
      button.parentElement.setAttribute('aria-sort', own && order !== 'index' ? (downwards ? 'descending' : 'ascending') : 'none');
    }
    byId('readout').textContent = this.summary();
  }

  sort() {
    const kind = byId('sort').value;
    const part = Number(byId('sort-class').value);
    const { left, right } = this.state;
    const score = (image, view) => (part < 0 ? image.scores[view] : image.classScores[view]?.[part]) ?? null;
    const values = this.list.sort(kind, (number) => {
      const image = this.index.images[number];
      const own = this.index.models.map((view) => score(image, view)).filter((value) => value !== null);
      const pair = image.differences.find(([a, b]) => (a === left && b === right) || (a === right && b === left));
      return {
        left: score(image, left), right: score(image, right), differ: pair ? pair[2] : null,
        mean: own.length ? own.reduce((a, b) => a + b) / own.length : null,
      };
    }, byId('find').value);
    const known = this.list.order.filter((number) => values[number] !== null).length;
    const measure = byId('sort-class').selectedOptions[0].textContent;
    const [a, b] = [this.label(left), this.label(right)];
    const meanings = {
      signed: `${measure} of ${b} minus ${a}`, differ: `pixels on which ${a} and ${b} differ`,
      left: `${measure} of ${a}`, right: `${measure} of ${b}`, mean: `${measure}, mean of the models`,
    };
    const meaning = ORDERS[kind].signed ? 'signed' : kind === 'differ' ? 'differ' : kind.match(/^(left|right)/)?.[0] ?? 'mean';
    const count = this.list.order.length;
    byId('sort-note').textContent = `${count} image${count === 1 ? '' : 's'}${known ? `; ${meanings[meaning]}, %` : ''}`;
    if (known < count && known) byId('sort-note').textContent += `; ${count - known} without`;
  }

  setSplit(share) {
    byId('split').value = 100 * share;
    this.viewer.setSplit(share);
  }

  // ---- events

  listen() {
    const { state } = this;
    for (const side of ['left', 'right']) {
      byId(side).addEventListener('change', () => {
        state[side] = byId(side).value;
        this.afterPair();
      });
    }
    byId('swap').addEventListener('click', () => this.swap());
    byId('split').addEventListener('input', () => this.viewer.setSplit(byId('split').value / 100));
    byId('sort').addEventListener('change', () => { this.sort(); this.open(this.list.order[0]); });
    byId('sort-class').addEventListener('change', () => { this.sort(); this.open(this.list.order[0]); });
    byId('find').addEventListener('input', () => this.sort());
    byId('all-classes').addEventListener('click', () => this.showClasses(() => true));
    byId('no-classes').addEventListener('click', () => this.showClasses(() => false));
    byId('zoom-in').addEventListener('click', () => this.viewer.zoomBy(1.5));
    byId('zoom-out').addEventListener('click', () => this.viewer.zoomBy(1 / 1.5));
    byId('fit').addEventListener('click', () => this.viewer.fit());
    byId('help-button').addEventListener('click', () => byId('help').showModal());
    byId('layouts').addEventListener('change', (event) => { state.layout = event.target.value; this.update(); this.writeAddress(); });
    byId('scopes').addEventListener('change', (event) => { state.scope = event.target.value; this.fillTable(); });
    byId('modes').addEventListener('change', (event) => { state.mode = event.target.value; this.repaint(); this.writeAddress(); });
    for (const button of document.querySelectorAll('aside th button')) {
      button.addEventListener('click', () => {
        const { order } = button.dataset;
        state.downwards = order !== 'index' && (state.order === order ? !state.downwards : true);
        state.order = order;
        this.fillTable();
      });
    }
    document.addEventListener('keydown', (event) => this.onKey(event));
  }

  swap() {
    const { state } = this;
    [state.left, state.right] = [state.right, state.left];
    this.afterPair();
  }

  afterPair() {
    for (const side of ['left', 'right']) byId(side).value = this.state[side];
    this.version += 1; // what is drawn of one may depend on the other
    this.sort();
    this.update();
    this.list.select(this.state.image);
    this.writeAddress();
  }

  onKey(event) {
    const typing = event.target.matches('select, input[type=search], input[type=range]') || byId('help').open;
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const choose = (id) => {
      const inputs = [...byId(id).querySelectorAll('input')];
      if (inputs.length) inputs[(inputs.findIndex((input) => input.checked) + 1) % inputs.length].click();
    };
    const step = (by) => this.open(this.list.neighbour(this.state.image, by));
    const actions = {
      j: () => step(1), ArrowDown: () => step(1), k: () => step(-1), ArrowUp: () => step(-1),
      ArrowLeft: () => this.setSplit(Math.max(this.viewer.split - 0.02, 0)),
      ArrowRight: () => this.setSplit(Math.min(this.viewer.split + 0.02, 1)),
      x: () => this.swap(), g: () => choose('layouts'), e: () => choose('modes'), a: () => this.showClasses(() => true),
      '+': () => this.viewer.zoomBy(1.5), '=': () => this.viewer.zoomBy(1.5), '-': () => this.viewer.zoomBy(1 / 1.5),
      0: () => this.viewer.fit(), '?': () => byId('help').showModal(),
    };
    const radio = event.target.matches('input[type=radio]') && event.key.startsWith('Arrow');
    if (actions[event.key] && !radio) {
      actions[event.key]();
      event.preventDefault();
    }
  }

  // ---- the address, so that a view can be linked to

  writeAddress() {
    const { left, right, layout, mode } = this.state;
    const parts = new URLSearchParams({ image: this.image.name, left: this.label(left), right: this.label(right), layout, mode: mode ?? '' });
    try { history.replaceState(null, '', `#${parts}`); } catch { /* pages in a frame may not */ }
  }

  readAddress() {
    const parts = new URLSearchParams(location.hash.slice(1));
    const view = (name) => this.views.find((own) => this.label(own) === name);
    for (const side of ['left', 'right']) {
      this.state[side] = view(parts.get(side)) ?? this.state[side];
      byId(side).value = this.state[side];
    }
    if (parts.get('layout') === 'grid') {
      this.state.layout = 'grid';
      byId('layouts').querySelector('[value=grid]').checked = true;
    }
    this.state.mode = parts.get('mode') ?? '';
    this.fillPainter();
    const number = this.index.images.findIndex((image) => image.name === parts.get('image'));
    if (number >= 0) this.fromAddress = number;
  }
}

// After the script, which ends with the painter.
queueMicrotask(() => { window.page = new Page(JSON.parse(byId('index').textContent)); });
