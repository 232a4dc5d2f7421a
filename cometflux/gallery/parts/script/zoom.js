// Zoom and pan: one state for all pictures that are compared.

const zoom = { scale: 1, x: 0.5, y: 0.5 }; // x and y: the point in the middle, as parts of the picture's width and height
const HIGHEST = 32;
const between = (least, value, most) => Math.min(Math.max(value, least), most);

// The picture in its frame: the size it is drawn at, and where it begins.
function drawn(frame) {
  const image = frame.querySelector("img");
  const fit = Math.min(frame.clientWidth / image.naturalWidth, frame.clientHeight / image.naturalHeight);
  const size = [image.naturalWidth * fit, image.naturalHeight * fit];
  const [width, height] = size.map((each) => each * zoom.scale);
  return {
    image, fit, size, width, height,
    left: begin(frame.clientWidth, width, zoom.x),
    top: begin(frame.clientHeight, height, zoom.y),
  };
}

function begin(room, length, middle) {
  return length <= room ? (room - length) / 2 : between(room - length, room / 2 - middle * length, 0);
}

function draw(frame) {
  const { image, size, left, top } = drawn(frame);
  if (!image.naturalWidth) return;
  [image.style.width, image.style.height] = size.map((each) => `${each}px`);
  image.style.transform = `translate(${left}px, ${top}px) scale(${zoom.scale})`;
}

function settle(frame, { width, height, left, top }) {
  const middle = (room, length, start) => length <= room ? 0.5 : between(room / 2 / length, (room / 2 - start) / length, 1 - room / 2 / length);
  zoom.x = middle(frame.clientWidth, width, left);
  zoom.y = middle(frame.clientHeight, height, top);
}

function zoomAt(frame, factor, x = frame.clientWidth / 2, y = frame.clientHeight / 2) {
  const before = drawn(frame);
  const scale = between(1, zoom.scale * factor, HIGHEST);
  const grown = scale / zoom.scale;
  zoom.scale = scale;
  settle(frame, {
    width: before.width * grown,
    height: before.height * grown,
    left: x - (x - before.left) * grown,
    top: y - (y - before.top) * grown,
  });
}

function pan(frame, across, down) {
  const now = drawn(frame);
  settle(frame, { ...now, left: now.left + across, top: now.top + down });
}

function fitAll() {
  Object.assign(zoom, { scale: 1, x: 0.5, y: 0.5 });
}

// Wheel, drag, pinch and double click on a frame; redraw is called after each change.
function makeZoomable(frame, redraw) {
  const fingers = new Map();
  const placeOf = (event) => {
    const box = frame.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const spread = () => {
    const [one, other] = [...fingers.values()];
    if (!other) return { x: one[0], y: one[1], wide: 0 };
    return { x: (one[0] + other[0]) / 2, y: (one[1] + other[1]) / 2, wide: Math.hypot(one[0] - other[0], one[1] - other[1]) };
  };
  frame.addEventListener("wheel", (event) => {
    event.preventDefault();
    const unit = [1, 16, innerHeight][event.deltaMode];
    zoomAt(frame, Math.exp(-event.deltaY * unit * (event.ctrlKey ? 0.01 : 0.002)), ...placeOf(event));
    redraw();
  }, { passive: false });
  frame.addEventListener("dblclick", (event) => {
    const { fit } = drawn(frame);
    if (zoom.scale > 1) fitAll();
    else zoomAt(frame, Math.max(1 / fit, 2), ...placeOf(event));
    redraw();
  });
  frame.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    frame.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, placeOf(event));
  });
  frame.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId)) return;
    const before = spread();
    fingers.set(event.pointerId, placeOf(event));
    const now = spread();
    pan(frame, now.x - before.x, now.y - before.y);
    if (before.wide && now.wide) zoomAt(frame, now.wide / before.wide, now.x, now.y);
    redraw();
  });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
    frame.addEventListener(end, (event) => fingers.delete(event.pointerId));
  }
}
