#!/usr/bin/env bash
# Makes splat.min.js, the library that draws Gaussians in the report's page. Needs npm, once, on a developer's machine;
# users never run it. splat.js (package "gsplat", MIT, LICENSE beside this) was chosen among the libraries that draw
# Gaussian splats and are kept up because it is the smallest by far: 0.1 MB, against 3 MB of three.js with Spark.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init --yes >/dev/null
npm install --silent gsplat@1.2.9 esbuild@0.28.2
cat >entry.js <<'JS'
import { Camera, Color32, OrbitControls, Scene, Splat, SplatData, WebGLRenderer } from "gsplat";
window.splat = { Camera, Color32, OrbitControls, Scene, Splat, SplatData, WebGLRenderer };
JS
# self.Blob=null: workers start from data: addresses, because a page opened from a file may not start one from blob:.
npx esbuild entry.js --bundle --minify --format=iife --define:self.Blob=null --legal-comments=inline \
    --banner:js="/* splat.js (npm: gsplat) 1.2.9, MIT licence, see LICENSE; built by build.sh */" \
    --outfile="$here/splat.min.js"
cp node_modules/gsplat/LICENSE "$here/LICENSE"
