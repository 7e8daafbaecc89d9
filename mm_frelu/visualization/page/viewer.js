// The stage: one panel with a slider between two views, or a panel for each view. All panels share one zoom and one centre.

const SHARP_FROM = 2; // From this magnification on pixels are drawn as squares.
const MOST_ZOOM = 64;

class Viewer {
  // draw(context, view, box) draws a view of the current image, whose size is size(), into box {x, y, width, height}.
  constructor(stage, { draw, size, onHover, onSplit, onZoom }) {
    Object.assign(this, { stage, drawView: draw, size, onHover, onSplit, onZoom });
    this.panels = [];
    this.zoom = 1;
    this.center = [0.5, 0.5];
    this.split = 0.5;
    this.pointers = new Map();
    new ResizeObserver(() => this.arrange()).observe(stage);
  }

  // panels: [{views: [left, right] or [view], captions: [{name, score, remarks}, ...]}]
  show(panels) {
    const key = JSON.stringify(panels.map((panel) => panel.views.length));
    if (key !== this.key) {
      this.key = key;
      this.panels.forEach((panel) => panel.element.remove());
      this.panels = panels.map((panel) => this.makePanel(panel.views.length === 2));
      this.stage.dataset.layout = panels.some((panel) => panel.views.length === 2) ? 'slider' : 'grid';
    }
    panels.forEach((panel, index) => {
      const own = this.panels[index];
      own.views = panel.views;
      own.element.dataset.views = JSON.stringify(panel.views);
      own.caption.replaceChildren(...panel.captions.flatMap(({ name, score, remarks }) => [
        element('b', { textContent: name, title: name }), element('span', { textContent: score }),
        element('span', { textContent: remarks.join('; '), title: remarks.join('\n') })]));
      own.canvas.setAttribute('aria-label', panel.captions.map(({ name, score }) => `${name} ${score}`).join(', '));
      own.tags.forEach((tag, side) => { tag.textContent = panel.captions[side].name; });
    });
    this.arrange();
  }

  makePanel(hasSlider) {
    const caption = element('div', { className: 'caption' });
    const canvas = element('canvas', { tabIndex: -1 });
    canvas.setAttribute('role', 'img');
    const frame = element('div', { className: 'frame' }, canvas);
    const panel = { canvas, caption, frame, tags: [], element: element('section', { className: 'panel' }, caption, frame) };
    if (hasSlider) {
      caption.hidden = true;
      caption.style.display = 'none';
      panel.handle = element('div', { className: 'handle' });
      panel.tags = ['left', 'right'].map((side) => element('span', { className: `tag ${side}` }));
      frame.append(...panel.tags, panel.handle);
      this.listenToHandle(panel);
    }
    this.listenToCanvas(panel);
    this.stage.append(panel.element);
    return panel;
  }

  listenToHandle({ handle, frame }) {
    handle.addEventListener('pointerdown', (event) => {
      handle.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    handle.addEventListener('pointermove', (event) => {
      if (!handle.hasPointerCapture(event.pointerId)) return;
      const box = frame.getBoundingClientRect();
      this.onSplit((event.clientX - box.left) / box.width);
    });
  }

  listenToCanvas({ canvas }) {
    canvas.addEventListener('pointerdown', (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
    });
    canvas.addEventListener('pointermove', (event) => {
      const box = canvas.getBoundingClientRect();
      const before = this.pointers.get(event.pointerId);
      if (!before) {
        this.onHover(this.toImage(box, event));
        return;
      }
      const others = [...this.pointers].filter(([id]) => id !== event.pointerId);
      if (others.length) { // two fingers
        const [, other] = others[0];
        const distance = ([x, y]) => Math.hypot(x - other[0], y - other[1]);
        const now = [event.clientX, event.clientY];
        this.zoomBy(distance(now) / Math.max(distance(before), 1), box, { clientX: other[0], clientY: other[1] });
      } else {
        const scale = this.scale(box);
        const [width, height] = this.size();
        this.center[0] -= (event.clientX - before[0]) / (scale * width);
        this.center[1] -= (event.clientY - before[1]) / (scale * height);
        this.redraw();
      }
      this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
    });
    for (const type of ['pointerup', 'pointercancel']) {
      canvas.addEventListener(type, (event) => this.pointers.delete(event.pointerId));
    }
    canvas.addEventListener('pointerleave', () => this.onHover(null));
    canvas.addEventListener('dblclick', () => this.fit());
    canvas.addEventListener('wheel', (event) => {
      event.preventDefault();
      const pixels = event.deltaY * (event.deltaMode === 1 ? 16 : 1);
      this.zoomBy(2 ** (-pixels / 240), canvas.getBoundingClientRect(), event);
    }, { passive: false });
  }

  scale(box) {
    const [width, height] = this.size();
    return this.zoom * Math.min(box.width / width, box.height / height);
  }

  // Where the image lies in a panel, in CSS pixels.
  place(box) {
    const [width, height] = this.size();
    const scale = this.scale(box);
    return {
      x: box.width / 2 - this.center[0] * width * scale, y: box.height / 2 - this.center[1] * height * scale,
      width: width * scale, height: height * scale,
    };
  }

  // The pixel of the image under the pointer, or null.
  toImage(box, event) {
    const [width, height] = this.size();
    const place = this.place(box);
    const x = Math.floor((event.clientX - box.left - place.x) / place.width * width);
    const y = Math.floor((event.clientY - box.top - place.y) / place.height * height);
    return x >= 0 && y >= 0 && x < width && y < height ? [x, y] : null;
  }

  zoomBy(factor, box = null, event = null) {
    const zoom = Math.min(Math.max(this.zoom * factor, 1), MOST_ZOOM);
    if (box && event) { // what is under the pointer stays there
      const [width, height] = this.size();
      for (const [axis, offset, side] of [[0, event.clientX - box.left - box.width / 2, width],
        [1, event.clientY - box.top - box.height / 2, height]]) {
        this.center[axis] += offset / (this.scale(box) * side) * (1 - this.zoom / zoom);
      }
    }
    this.zoom = zoom;
    this.redraw();
  }

  fit() {
    this.zoom = 1;
    this.center = [0.5, 0.5];
    this.redraw();
  }

  setSplit(share) {
    this.split = Math.min(Math.max(share, 0), 1);
    this.redraw();
  }

  // As many columns as make the panels largest.
  arrange() {
    if (!this.panels.length || !this.stage.clientWidth) return;
    const [width, height] = this.size();
    const count = this.panels.length;
    const caption = this.stage.dataset.layout === 'grid' ? 24 : 0;
    let best = [0, 1];
    for (let columns = 1; columns <= count; columns += 1) {
      const rows = Math.ceil(count / columns);
      const across = (this.stage.clientWidth - 8 * (columns - 1)) / columns;
      const down = (this.stage.clientHeight - 8 * (rows - 1)) / rows - caption;
      best = [[Math.min(across / width, down / height), columns], best].sort((a, b) => b[0] - a[0])[0];
    }
    const [, columns] = best;
    this.stage.style.gridTemplate = `repeat(${Math.ceil(count / columns)}, minmax(0, 1fr)) / repeat(${columns}, minmax(0, 1fr))`;
    this.redraw();
  }

  redraw() {
    if (!this.pending) this.pending = requestAnimationFrame(() => { this.pending = 0; this.drawNow(); });
  }

  drawNow() {
    const density = window.devicePixelRatio || 1;
    // Half of what is seen has to be image, so that nobody loses it.
    for (const axis of [0, 1]) {
      const margin = this.zoom > 1 ? 0.5 / this.zoom * 0.5 : 0.5;
      this.center[axis] = Math.min(Math.max(this.center[axis], margin), 1 - margin);
    }
    for (const panel of this.panels) {
      const box = panel.frame.getBoundingClientRect();
      const [width, height] = [Math.round(box.width * density), Math.round(box.height * density)];
      if (!width || !height) continue;
      if (panel.canvas.width !== width || panel.canvas.height !== height) Object.assign(panel.canvas, { width, height });
      const context = panel.canvas.getContext('2d');
      context.setTransform(density, 0, 0, density, 0, 0);
      context.clearRect(0, 0, box.width, box.height);
      const place = this.place(box);
      context.imageSmoothingEnabled = this.scale(box) * density < SHARP_FROM;
      context.imageSmoothingQuality = 'high';
      const edge = this.split * box.width;
      panel.views.forEach((view, side) => {
        context.save();
        if (panel.views.length === 2) {
          context.beginPath();
          context.rect(side ? edge : 0, 0, side ? box.width - edge : edge, box.height);
          context.clip();
        }
        this.drawView(context, view, place);
        context.restore();
      });
      if (panel.handle) panel.handle.style.left = `${edge}px`;
      this.onZoom(this.scale(box));
    }
  }
}

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}
