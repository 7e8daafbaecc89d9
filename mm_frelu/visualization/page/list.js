// The list of images, and what it can be sorted by: what the right view gains or loses against the left one comes first.

const ORDERS = {
  gain: { label: 'right gains most', needs: 'both', value: (s) => difference(s.right, s.left), signed: true, down: true },
  loss: { label: 'right loses most', needs: 'both', value: (s) => difference(s.right, s.left), signed: true, down: false },
  differ: { label: 'most different', needs: 'differences', value: (s) => s.differ, down: true },
  rightLow: { label: 'right, worst first', needs: 'scores', value: (s) => s.right, down: false },
  rightHigh: { label: 'right, best first', needs: 'scores', value: (s) => s.right, down: true },
  leftLow: { label: 'left, worst first', needs: 'scores', value: (s) => s.left, down: false },
  leftHigh: { label: 'left, best first', needs: 'scores', value: (s) => s.left, down: true },
  order: { label: 'order of the files', needs: '', value: (s) => s.mean, down: null },
  name: { label: 'name', needs: '', value: (s) => s.mean, down: null },
};

const difference = (a, b) => (a === null || b === null ? null : a - b);

// A share as a percentage with one decimal; a sign where asked.
function percent(value, signed = false) {
  if (value === null || value === undefined) return '–';
  const text = (100 * value).toFixed(1).replace(/^-(0\.0)$/, '$1');
  return signed && value > 0 && text !== '0.0' ? `+${text}` : text.replace('-', '−');
}

class ImageList {
  constructor(list, images, { onSelect }) {
    Object.assign(this, { list, images, onSelect, order: images.map((_, index) => index) });
    this.items = images.map((image, index) => {
      const picture = element('img', { alt: '', loading: 'lazy', decoding: 'async' });
      const value = element('span', { className: 'value' });
      const button = element('button', { type: 'button' }, picture,
        element('span', {}, element('span', { className: 'name', textContent: image.name, title: image.name }), value));
      button.addEventListener('click', () => onSelect(index));
      const item = element('li', {}, button);
      item.dataset.index = index;
      return { item, button, picture, value };
    });
    // Thumbnails are decoded when they come near.
    const observer = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        observer.unobserve(target);
        const { picture } = this.items[target.dataset.index];
        picture.src = `data:image/jpeg;base64,${images[target.dataset.index].thumbnail}`;
      }
    }, { root: list, rootMargin: '300px' });
    this.items.forEach(({ item }) => observer.observe(item));
  }

  // scores(index) gives {left, right, mean, differ} of an image for what is sorted by.
  sort(kind, scores, find) {
    const { value, signed, down } = ORDERS[kind];
    const values = this.images.map((_, index) => value(scores(index)));
    const words = find.toLowerCase().split(/\s+/).filter(Boolean);
    const found = this.images.map((image) => words.every((word) => image.name.toLowerCase().includes(word)));
    this.order = this.images.map((_, index) => index).filter((index) => found[index]);
    if (kind === 'name') {
      this.order.sort((a, b) => this.images[a].name.localeCompare(this.images[b].name, undefined, { numeric: true }));
    } else if (down !== null) {
      const rank = (index) => (values[index] === null ? Infinity : values[index] * (down ? -1 : 1));
      this.order.sort((a, b) => (rank(a) === rank(b) ? a - b : rank(a) - rank(b)));
    }
    for (const [index, { value: label }] of this.items.entries()) {
      label.textContent = percent(values[index], signed);
      label.className = `value ${signed && values[index] ? (values[index] > 0 ? 'gain' : 'loss') : ''}`;
    }
    this.list.replaceChildren(...this.order.map((index) => this.items[index].item));
    return values;
  }

  select(index) {
    this.items.forEach(({ button }, own) => button.setAttribute('aria-current', own === index));
    const { item } = this.items[index];
    if (!item.isConnected) return; // the filter hides it
    // scrollIntoView would also scroll the page, in a narrow window away from the viewer.
    const [place, frame] = [item, this.list].map((own) => own.getBoundingClientRect());
    this.list.scrollTop += Math.min(place.top - frame.top, 0) + Math.max(place.bottom - frame.bottom, 0);
  }

  // The image that is step places further in the list.
  neighbour(index, step) {
    const place = this.order.indexOf(index);
    return this.order[Math.min(Math.max(place + step, 0), this.order.length - 1)];
  }
}
