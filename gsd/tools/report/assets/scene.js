"use strict";
// The Gaussians of a run, drawn by splat.js (vendor/): drag to turn, right button to move, wheel to come nearer.

(() => {
  const having = runs.map((_, k) => k).filter((k) => runs[k].scene);
  const bare = runs.map((_, k) => k).filter((k) => runs[k].no_scene);
  const FIELD = "Runs without a scene.ply, such as those of radiance fields, have no Gaussians to show; gsd export RUN --format glb writes their mesh.";
  if (!having.length) {
    part("scene", ".stage").hidden = true;
    return bare.length ? note("scene", FIELD) : hide("scene");
  }
  const SIDE = 480, FOV = 40, ELEVATION = 15, DISTANCE = 2.2; // as the turntable's cameras
  const REST = 2500; // ms after the last touch in which the view is still drawn: the sorting of depths comes later
  const SPEED = 2; // of turning, in that of the library: half a turn across the canvas
  let run = chosen.get().find((k) => runs[k].scene) ?? having[0], engine = null, awake = 0;

  const canvas = el("canvas", { width: SIDE * 2, height: SIDE * 2, tabindex: 0, "aria-label": "Gaussians, drag to turn" });
  part("scene", ".stage").append(canvas);

  function start() {
    const { Scene, Camera, WebGLRenderer } = splat;
    try {
      const renderer = new WebGLRenderer(canvas, []);
      const camera = new Camera();
      camera.data.fx = camera.data.fy = canvas.height / 2 / Math.tan((FOV / 2) * (Math.PI / 180));
      camera.data.near = 0.05;
      engine = { renderer, camera, scene: new Scene() };
      renderer.setSize(canvas.width, canvas.height);
      canvas.style.width = canvas.style.height = "";
    } catch (error) {
      return note("scene", `The 3D view needs WebGL 2, which this browser does not offer (${error.message}).`);
    }
    load();
    requestAnimationFrame(draw);
  }

  function load() {
    const { Color32, Splat, SplatData } = splat;
    const [name, count, total] = runs[run].scene;
    const ground = (runs[run].config["representation.background"] ?? data.config["representation.background"]) === "black" ? 0 : 255;
    engine.renderer.backgroundColor = new Color32(ground, ground, ground, 255);
    engine.scene.reset();
    engine.scene.addObject(new Splat(SplatData.Deserialize(bytes(name))));
    front();
    const which = count < total ? `the ${number(count)} most visible of ${number(total)}` : number(total);
    const without = bare.length ? ` ${FIELD}` : "";
    note("scene", `${which} Gaussians, without view-dependent colour. Drag to turn, drag with the right button to move; after a click the wheel zooms.${without}`);
  }

  // Files of Gaussians have y down and the front towards -z, which is where the camera's angle 0 is.
  function front() {
    engine.controls?.dispose();
    engine.controls = new splat.OrbitControls(engine.camera, canvas, 0, (ELEVATION * Math.PI) / 180, DISTANCE, false);
    engine.controls.orbitSpeed = SPEED;
    wake();
  }

  const wake = () => (awake = performance.now() + REST);

  function draw(now) {
    if (now < awake) {
      engine.controls.update();
      engine.renderer.render(engine.scene, engine.camera);
    }
    requestAnimationFrame(draw);
  }

  // The page scrolls under the pointer unless the view was clicked.
  canvas.addEventListener("wheel", (event) => (document.activeElement === canvas ? wake() : event.stopImmediatePropagation()), { capture: true });
  canvas.addEventListener("pointerdown", () => (canvas.focus({ preventScroll: true }), wake()));
  for (const kind of ["pointermove", "pointerup", "touchmove"]) canvas.addEventListener(kind, wake);

  const menu = select("run ", [...having, ...bare].map((k) => [k, runs[k].label + (runs[k].no_scene ? " (no Gaussians)" : "")]), (value) => ((run = Number(value)), engine && load()));
  menu.querySelector("select").value = run;
  menu.querySelectorAll("option").forEach((option) => (option.disabled = Boolean(runs[option.value].no_scene)));
  part("scene", ".controls").append(menu, el("button", { click: () => engine && front() }, "front"));
  whenSeen(canvas, start);
})();
