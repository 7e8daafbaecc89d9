// Painter of boxes for the page (page/page.js says what it calls). BOXES comes from Python: colours, names, thresholds.

const FONT = '11px system-ui, sans-serif';
const LABEL_HEIGHT = 15;
const RIGHT_OR_LEFT_OUT = [0, 6]; // hit, in a crowd

const css = (color) => `rgb(${color.join(' ')})`;

// Black or white, whichever is easier to read on a colour (relative luminance of WCAG 2).
function contrasting(color) {
  const linear = color.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] > 0.179 ? 'black' : 'white';
}

const threshold = ({ name, settings }) => settings.score[name] ?? 0;

// The detections that are drawn, and the true boxes that are missed with them.
function chosen(scene) {
  const { layer, truth, isTruth, visible, settings, mode } = scene;
  const items = [];
  layer.boxes.forEach((box, i) => {
    const label = layer.labels[i];
    if (!visible[label] || (!isTruth && layer.scores[i] < threshold(scene))) return;
    const kind = layer.kinds?.[i];
    if (mode === 'outcomes' && settings.errors && !isTruth && RIGHT_OR_LEFT_OUT.includes(kind)) return;
    items.push({ box, label, kind, score: layer.scores?.[i], crowd: layer.crowd?.[i] });
  });
  if (isTruth || !truth || mode !== 'outcomes') return items;
  const covered = new Set();
  layer.partners.forEach((partner, i) => {
    // A hit, a wrong class or a bad place: TIDE's "missed" is neither.
    if (partner >= 0 && layer.kinds[i] <= 2 && layer.scores[i] >= threshold(scene)) covered.add(partner);
  });
  truth.boxes.forEach((box, i) => {
    if (!covered.has(i) && !truth.crowd[i] && visible[truth.labels[i]]) items.push({ box, label: truth.labels[i], missed: true });
  });
  return items;
}

function textOf({ label, score, crowd }, classes) {
  const name = classes[label].name + (crowd ? ' (crowd)' : '');
  return score === undefined ? name : `${name} ${score.toFixed(2)}`;
}

function lineOf({ label, kind, missed }, { mode, classes, isTruth }) {
  if (missed) return BOXES.missed.color;
  if (isTruth || kind === undefined || mode !== 'outcomes') return classes[label].color;
  return BOXES.outcomes[kind].color;
}

const meets = (a, b) => a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;

// A place for a label beside its box where no other label lies; null if there is none.
function placeFor({ x, y, width, height }, size, area, taken) {
  const right = x + width - size.width;
  const below = y + height;
  const corners = [[x, y - size.height], [right, y - size.height], [x, below], [right, below], [x, y], [x, below - size.height],
    [x + width, y], [x - size.width, y]];
  for (const [left, top] of corners) {
    const place = {
      x: Math.min(Math.max(left, area.x), area.x + area.width - size.width),
      y: Math.min(Math.max(top, area.y), area.y + area.height - size.height), ...size,
    };
    if (Math.max(Math.abs(place.x - left), Math.abs(place.y - top)) > Math.max(size.width, size.height)) continue;
    if (!taken.some((other) => meets(place, other))) return place;
  }
  return null;
}

// Of the boxes in sight; the page keeps what was placed for tests.
function drawLabels(context, items, scene, rectangles, area) {
  const taken = [];
  context.font = FONT;
  context.textBaseline = 'middle';
  items.forEach((item, i) => {
    const text = textOf(item, scene.classes);
    const size = { width: context.measureText(text).width + 6, height: LABEL_HEIGHT };
    const place = placeFor(rectangles[i], size, area, taken);
    if (!place) return;
    taken.push({ ...place, text });
    const { color } = scene.classes[item.label];
    context.fillStyle = css(color);
    context.fillRect(place.x, place.y, place.width, place.height);
    context.strokeStyle = css(lineOf(item, scene));
    context.lineWidth = 1;
    context.setLineDash([]);
    context.strokeRect(place.x + 0.5, place.y + 0.5, place.width - 1, place.height - 1);
    context.fillStyle = contrasting(color);
    context.fillText(text, place.x + 3, place.y + LABEL_HEIGHT / 2 + 1);
  });
  return taken;
}

// What the outlines mean, below the picture.
const legend = element('p', { id: 'outcomes', hidden: true }, ...[...Object.values(BOXES.outcomes), BOXES.missed].map(({ name, color }) => {
  const swatch = element('span', { className: 'swatch' });
  Object.assign(swatch.style, { background: css(color), display: 'inline-block', marginRight: '0.3em' });
  const entry = element('span', {}, swatch, name);
  Object.assign(entry.style, { marginRight: '1em', whiteSpace: 'nowrap' });
  return entry;
}));
Object.assign(legend.style, { margin: '0.2em 0.6em', fontSize: '12px' });
byId('readout').before(legend);

definePainter({
  modes: [
    { id: 'outcomes', label: 'Outcomes', needsTruth: true },
    { id: 'classes', label: 'Classes' },
  ],
  controls: [
    { id: 'labels', label: 'Labels', type: 'checkbox', value: true },
    { id: 'errors', label: 'Errors only', type: 'checkbox', value: false },
    { id: 'score', label: 'Score', type: 'range', min: BOXES.lowest, max: 1, step: 0.01, value: 0.3, perModel: true, values: BOXES.thresholds },
  ],
  decode: async ({ data }) => data,
  overlay(context, scene, place) {
    const items = chosen(scene);
    const factor = (scene.image.scale * place.width) / scene.image.width;
    const rectangles = items.map(({ box: [left, top, right, bottom] }) => ({
      x: place.x + left * factor, y: place.y + top * factor, width: (right - left) * factor, height: (bottom - top) * factor,
    }));
    // The large ones first, so that small ones stay whole.
    const order = items.map((_, i) => i).sort((a, b) => rectangles[b].width * rectangles[b].height - rectangles[a].width * rectangles[a].height);
    for (const i of order) {
      const { x, y, width, height } = rectangles[i];
      const color = lineOf(items[i], scene);
      context.setLineDash([]);
      context.strokeStyle = contrasting(color) === 'black' ? 'rgb(0 0 0 / 0.5)' : 'rgb(255 255 255 / 0.5)';
      context.lineWidth = 4;
      context.strokeRect(x, y, width, height);
      context.setLineDash(items[i].missed || items[i].crowd ? [6, 4] : []);
      context.strokeStyle = css(color);
      context.lineWidth = 2;
      context.strokeRect(x, y, width, height);
    }
    const area = { x: Math.max(place.x, 0), y: Math.max(place.y, 0) };
    const transform = context.getTransform();
    area.width = Math.min(place.x + place.width, context.canvas.width / transform.a) - area.x;
    area.height = Math.min(place.y + place.height, context.canvas.height / transform.d) - area.y;
    const inSight = (i) => meets(rectangles[i], area);
    const seen = items.map((_, i) => i).filter(inSight);
    const labels = scene.settings.labels ? drawLabels(context, seen.map((i) => items[i]), scene, seen.map((i) => rectangles[i]), area) : [];
    context.canvas.boxLabels = { ...context.canvas.boxLabels, [scene.name]: labels };
    legend.hidden = scene.mode !== 'outcomes';
    context.setLineDash([]);
  },
  describe(scene, x, y) {
    const { scale } = scene.image;
    const inside = ({ box: [left, top, right, bottom] }) => left <= x / scale && x / scale <= right && top <= y / scale && y / scale <= bottom;
    const area = ({ box: [left, top, right, bottom] }) => (right - left) * (bottom - top);
    const [item] = chosen(scene).filter(inside).sort((a, b) => area(a) - area(b));
    if (!item) return '';
    const kind = item.missed ? 'missed' : BOXES.outcomes[item.kind]?.name;
    return textOf(item, scene.classes) + (kind && !scene.isTruth ? `, ${kind}` : '');
  },
});
