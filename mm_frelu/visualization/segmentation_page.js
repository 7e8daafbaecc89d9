// Painter of label maps for the page (page/page.js says what it calls). COLORS comes from segmentation_page.py.

const HATCH_PERIOD = 12;

const greyOf = (pixels, at) => 0.299 * pixels[at] + 0.587 * pixels[at + 1] + 0.114 * pixels[at + 2];

async function inflate(buffer) {
  const stream = new Blob([buffer]).stream().pipeThrough(new DecompressionStream('deflate'));
  return new Response(stream).arrayBuffer();
}

// The pixels of the photograph, read once.
function pixelsOf(photo) {
  if (!pixelsOf.known.has(photo)) {
    const canvas = document.createElement('canvas');
    Object.assign(canvas, { width: photo.width, height: photo.height });
    const context = canvas.getContext('2d', { willReadFrequently: true });
    context.drawImage(photo, 0, 0);
    pixelsOf.known.set(photo, context.getImageData(0, 0, photo.width, photo.height).data);
  }
  return pixelsOf.known.get(photo);
}
pixelsOf.known = new WeakMap();

function hatch(out, at, x, y) {
  const color = (x + y) % HATCH_PERIOD < HATCH_PERIOD / 3 ? COLORS.hatchDark : COLORS.hatchLight;
  out[at] = color[0]; out[at + 1] = color[1]; out[at + 2] = color[2];
}

// As overlay.py does: the image loses its colour as the classes' grows, and outlines have the colour itself.
function paintClasses(out, pixels, labels, { image, classes, visible, settings }) {
  const { width, height } = image;
  const a = settings.opacity;
  for (let y = 0, i = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1, i += 1) {
      const at = 4 * i;
      const label = labels[i];
      out[at + 3] = 255;
      if (label >= classes.length) { hatch(out, at, x, y); continue; }
      if (!visible[label]) {
        out[at] = pixels[at]; out[at + 1] = pixels[at + 1]; out[at + 2] = pixels[at + 2];
        continue;
      }
      const { color } = classes[label];
      const onOutline = settings.outlines && ((x > 0 && labels[i - 1] !== label) || (x < width - 1 && labels[i + 1] !== label)
        || (y > 0 && labels[i - width] !== label) || (y < height - 1 && labels[i + width] !== label));
      if (onOutline) {
        out[at] = color[0]; out[at + 1] = color[1]; out[at + 2] = color[2];
        continue;
      }
      const grey = greyOf(pixels, at) * a;
      for (let c = 0; c < 3; c += 1) out[at + c] = a * color[c] + (1 - a) * (grey + (1 - a) * pixels[at + c]);
    }
  }
}

// Whether a pixel with this label lies at most radius rows and columns away.
function isNear(labels, label, x, y, width, height, radius) {
  const [left, right] = [Math.max(x - radius, 0), Math.min(x + radius, width - 1)];
  for (let v = Math.max(y - radius, 0); v <= Math.min(y + radius, height - 1); v += 1) {
    for (let u = left; u <= right; u += 1) if (labels[v * width + u] === label) return true;
  }
  return false;
}

// Pixels that differ from the reference, in the colour of what was predicted; boundaries that slipped (differences.py) are pale.
function paintErrors(out, pixels, labels, reference, slip, { image, classes, visible, settings }) {
  const { width, height } = image;
  for (let y = 0, i = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1, i += 1) {
      const at = 4 * i;
      const [label, truth] = [labels[i], reference[i]];
      out[at + 3] = 255;
      if (truth >= classes.length) { hatch(out, at, x, y); continue; }
      const grey = greyOf(pixels, at);
      const pale = 255 - COLORS.faded * (255 - grey);
      let color = null;
      let strength = 0;
      if (label !== truth && (visible[label] || visible[truth])) {
        if (slip && isNear(reference, label, x, y, width, height, slip) && isNear(labels, truth, x, y, width, height, slip)) {
          if (settings.slips) { color = COLORS.slip; strength = 1; }
        } else {
          color = classes[label].color;
          strength = COLORS.errorOpacity;
        }
      }
      for (let c = 0; c < 3; c += 1) {
        out[at + c] = color ? strength * color[c] + (1 - strength) * (strength < 1 ? grey : pale) : pale;
      }
    }
  }
}

definePainter({
  modes: [
    { id: 'classes', label: 'Classes' },
    { id: 'errors', label: 'Errors', needsTruth: true },
    { id: 'differences', label: 'Left against right' },
  ],
  controls: [
    { id: 'opacity', label: 'Opacity', type: 'range', min: 0, max: 1, step: 0.05, value: COLORS.opacity },
    { id: 'outlines', label: 'Outlines', type: 'checkbox', value: true },
    { id: 'slips', label: 'Boundary slips', type: 'checkbox', value: true },
  ],
  async decode({ data, blobs }) {
    const buffer = await inflate(blobs.labels);
    return { labels: data.bits === 16 ? new Uint16Array(buffer) : new Uint8Array(buffer), slip: data.slip };
  },
  paint(context, scene) {
    const { image, photo, layer, truth, other, mode, isTruth } = scene;
    const pixels = pixelsOf(photo);
    const picture = context.createImageData(image.width, image.height);
    if (mode === 'errors' && truth && !isTruth) {
      paintErrors(picture.data, pixels, layer.labels, truth.labels, layer.slip, scene);
    } else if (mode === 'differences' && other && other !== layer) {
      // Of two models each is the other's reference; nothing is a slip there.
      paintErrors(picture.data, pixels, layer.labels, other.labels, 0, scene);
    } else {
      paintClasses(picture.data, pixels, layer.labels, scene);
    }
    context.putImageData(picture, 0, 0);
  },
  describe({ image, layer, truth, classes, isTruth }, x, y) {
    const at = y * image.width + x;
    const name = (labels) => classes[labels[at]]?.name ?? 'not labelled';
    const text = name(layer.labels);
    if (isTruth || !truth || !classes[truth.labels[at]]) return text;
    return truth.labels[at] === layer.labels[at] ? text : `${text} ✗`;
  },
});
