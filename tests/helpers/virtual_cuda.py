"""A CUDA device without a GPU: tensors hold their values on the CPU and say that they are on cuda:0.

Within `virtual_cuda()` the factories, `.to("cuda")` and `.cuda()` give virtual tensors. Every operation on one is
checked as CUDA would check it (operands on two devices, `.numpy()`, drawing on the device) and booked with its line:
what a GPU would launch, copy, and wait for. Values are those of the CPU, so that a step can be compared with
`device=cpu`. Triton's kernels run in its interpreter, gsplat's as the CPU's rasteriser.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map_only

CUDA = torch.device("cuda", 0)
PEAK = 3 * 2**20  # bytes that its tensors have taken at most

# Operations whose result, or its size, the host waits for
WAITS = {
    "_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_consecutive", "unique_dim", "bincount",
    "histc", "equal", "_linalg_check_errors", "is_nonzero", "multinomial", "_linalg_eigh", "linalg_eig", "_linalg_svd",
}  # fmt: skip
FREE = {
    "empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided", "lift_fresh", "_unsafe_view",
    "_reshape_alias", "is_same_size", "set_", "squeeze_", "unsqueeze_", "detach_",
}  # fmt: skip
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"}
RANDOM = {torch.randn, torch.rand, torch.randint, torch.randperm, torch.normal, torch.randn_like, torch.rand_like}


class DeviceError(RuntimeError):
    """What CUDA would refuse."""


@dataclass
class Book:
    """What the device did: (kind, operation, line) of kernels, waits, uploads; and the most bytes it held at once."""

    entries: list[tuple[str, str, str]] = field(default_factory=list)
    warns: bool = False  # of waits, as torch.cuda.set_sync_debug_mode("warn") does
    current: list[torch.device] = field(default_factory=list)  # `with torch.cuda.device(...)` that are open
    peak: int = 0
    total: int = 0  # bytes of `live`, whose storages may be gone
    live: dict[int, tuple[StorageWeakRef, int]] = field(default_factory=dict)

    def hold(self, elem: Tensor) -> None:
        storage = elem.untyped_storage()
        self.total += storage.nbytes() - self.live.get(storage._cdata, (None, 0))[1]
        self.live[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        if self.total > self.peak:
            self.forget()
            self.peak = max(self.peak, self.total)

    def forget(self) -> None:
        self.live = {key: held for key, held in self.live.items() if not held[0].expired()}
        self.total = sum(size for _, size in self.live.values())

    def start_again(self) -> int:
        """Forget all but what is held now; returns how many bytes that is."""
        self.entries.clear()
        self.forget()
        self.peak = self.total
        return self.peak

    def count(self, kind: str, *without: str) -> int:
        """How many, but for those whose line contains one of the words `without`."""
        return sum(k == kind and not any(word in line for word in without) for k, _, line in self.entries)

    def table(self, kind: str) -> str:
        """Most frequent first: number, operation, line."""
        rows = Counter((op, line) for k, op, line in self.entries if k == kind)
        return "\n".join(f"{n:5d}  {op:28s} {line}" for (op, line), n in rows.most_common())


_book = Book()


def _note(kind: str, op: str) -> None:
    _book.entries.append((kind, op, _line()))
    if kind == "wait" and _book.warns:
        warnings.warn(f"called a synchronizing CUDA operation: {op}", stacklevel=2)


def _line() -> str:
    frame = sys._getframe(2)
    outer = ""
    while frame is not None:
        name = frame.f_code.co_filename
        if "/gsd/" in name and "site-packages" not in name and "/tests/" not in name:
            return f"{name.rsplit('/gsd/', 1)[1]}:{frame.f_lineno}"
        if not outer and "/torch/" not in name and not name.endswith("virtual_cuda.py"):
            outer = f"{name.rsplit('/', 1)[1]}:{frame.f_lineno}"
        frame = frame.f_back
    return outer


class VirtualTensor(torch.Tensor):
    """Says cuda:0, holds `elem` on the CPU."""

    elem: Tensor

    @staticmethod
    def __new__(cls, elem: Tensor) -> VirtualTensor:
        assert not isinstance(elem, VirtualTensor)
        _book.hold(elem)
        layout = {"strides": elem.stride(), "storage_offset": elem.storage_offset(), "dtype": elem.dtype}
        made = torch.Tensor._make_wrapper_subclass(cls, elem.size(), **layout, device=elem.device)
        made.elem = elem
        return made

    def __repr__(self, **_: Any) -> str:
        return f"Virtual({self.elem!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> VirtualTensor:
        return VirtualTensor(self.elem.detach().clone()).requires_grad_(self.requires_grad)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """In a file it is what torch.load(map_location="cpu") makes of a CUDA tensor."""
        return self.elem.detach().__reduce_ex__(protocol)

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _ANSWERS:
            return _ANSWERS[func](*args, **kwargs)
        with torch._C.DisableTorchFunctionSubclass():
            if func == torch.Tensor.data.__set__ and isinstance(args[0], VirtualTensor):
                func(*args, **kwargs)
                args[0].elem = args[1].elem
                return None
            if func in (torch.Tensor.__getitem__, torch.Tensor.__setitem__):
                key = args[1]
                args = (args[0], tuple(map(_uploaded, key)) if isinstance(key, tuple) else _uploaded(key), *args[2:])
            with _Inside():
                return func(*args, **kwargs)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _dispatch(func, args, kwargs or {})


def held(x: Any) -> Any:
    """The tensor on the CPU that a virtual one holds; anything else as it is."""
    return x.elem if isinstance(x, VirtualTensor) else x


def _wrapped(x: Any) -> Any:
    return VirtualTensor(x) if isinstance(x, Tensor) and not isinstance(x, VirtualTensor) else x


def _uploaded(index: Any) -> Any:
    """A list as an index is copied to the device."""
    if not isinstance(index, list | range):
        return index
    _note("upload", "list index")
    return VirtualTensor(torch.tensor(list(index)))


def _no_numpy(*_: Any, **__: Any) -> None:
    raise TypeError(
        "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first."
    )


class _Download(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        _note("wait", "to the host")
        return x.elem.detach().clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return VirtualTensor(gradient)


class _Upload(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        _note("upload", "to the device")
        return VirtualTensor(x.detach().clone())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient.elem


def _to(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Tensor.to between the devices; what else it asks for is left to the CPU."""
    goal, dtype = kwargs.pop("device", None), kwargs.pop("dtype", None)
    for arg in args:
        if isinstance(arg, Tensor):
            goal, dtype = arg.device, arg.dtype
        elif isinstance(arg, torch.dtype):
            dtype = arg
        elif isinstance(arg, str | torch.device | int) and not isinstance(arg, bool):
            goal = arg
    if goal is not None and _is_cuda(goal) and not isinstance(x, VirtualTensor):
        x = _Upload.apply(x)
    elif goal is not None and not _is_cuda(goal) and isinstance(x, VirtualTensor):
        x = _Download.apply(x)
    kwargs.pop("non_blocking", None)
    with torch._C.DisableTorchFunctionSubclass():
        return torch.Tensor.to(x, dtype=x.dtype if dtype is None else dtype, **kwargs)


def _is_cuda(device: Any) -> bool:
    return isinstance(device, int) or torch.device(device).type == "cuda"


def _listed(x: Tensor) -> Any:
    _note("wait", "tolist")
    return x.elem.tolist()


def _new_tensor(x: Tensor, data: Any, **kwargs: Any) -> Tensor:
    _note("upload", "new_tensor")
    return VirtualTensor(x.elem.new_tensor(data, **kwargs))


_ANSWERS: dict[Any, Any] = {
    torch.Tensor.device.__get__: lambda x: CUDA,
    torch.Tensor.is_cuda.__get__: lambda x: True,
    torch.Tensor.is_cpu.__get__: lambda x: False,
    torch.Tensor.get_device: lambda x: 0,
    torch.Tensor.numpy: _no_numpy,
    torch.Tensor.__array__: _no_numpy,
    torch.Tensor.tolist: _listed,
    torch.Tensor.new_tensor: _new_tensor,
}


def _dispatch(func: Any, args: Any, kwargs: Any) -> Any:
    name = func._schema.name.split("::")[1]
    tensors = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, Tensor)]
    strangers = [x for x in tensors if not isinstance(x, VirtualTensor) and x.dim() > 0]
    if name == "copy_":
        _note("kernel" if not strangers else "upload" if isinstance(args[0], VirtualTensor) else "wait", name)
        held(args[0]).copy_(held(args[1]), *args[2:])
        return args[0]
    if name in INDEXING and isinstance(args[0], VirtualTensor):
        for index in args[1]:
            if isinstance(index, Tensor) and not isinstance(index, VirtualTensor):
                _note("upload", name)
                strangers = [x for x in strangers if x is not index]
    if strangers:
        sides = ", ".join(f"{'cuda' if isinstance(x, VirtualTensor) else 'cpu'}{tuple(x.shape)}" for x in tensors)
        raise DeviceError(f"Expected all tensors to be on the same device: {name}({sides}) at {_line()}")
    _note(_kind(func, name, args, kwargs), name)
    inner = tree_map_only(VirtualTensor, held, (args, kwargs))
    out = func(*inner[0], **inner[1])
    if name.endswith("_") and not name.startswith("__") and isinstance(args[0], VirtualTensor):
        return args[0]
    if isinstance(kwargs.get("out"), VirtualTensor):
        return kwargs["out"]
    out = tree_map_only(Tensor, _wrapped, out)
    return return_and_correct_aliasing(func, args, kwargs, out) if func.is_view else out


def _made(factory: Any) -> str:
    """What a function that makes a tensor from nothing does."""
    if factory in (torch.tensor, torch.as_tensor, torch.asarray):
        return "upload"
    return "free" if factory.__name__ in FREE else "kernel"


def _kind(func: Any, name: str, args: Any, kwargs: Any) -> str:
    if name in WAITS:
        return "wait"
    if name in INDEXING and any(isinstance(x, Tensor) and x.dtype in (torch.bool, torch.uint8) for x in args[1]):
        fills = name != "index" and len(args) > 2 and args[2].numel() == 1 and not (len(args) > 3 and args[3])
        return "kernel" if fills else "wait"
    if name == "repeat_interleave" and kwargs.get("output_size") is None:
        return "wait"
    return "free" if func.is_view or name in FREE else "kernel"


class _Inside(TorchDispatchMode):
    """Within a function of PyTorch that was given virtual tensors, what it makes without one is on the device, too."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if any(isinstance(x, Tensor) for x in tree_flatten((args, kwargs))[0]):
            return made
        return tree_map_only(Tensor, _wrapped, made)


class _Mode(TorchFunctionMode):
    """Factories on the device, and the ways between it and the host."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.Tensor.to:
            return _to(*args, **kwargs)
        if func is torch.Tensor.cuda:
            return _to(args[0], CUDA)
        if func is torch.Tensor.cpu:
            return _to(args[0], "cpu")
        device = kwargs.get("device")
        virtual = any(isinstance(x, VirtualTensor) for x in args)
        if func in RANDOM and (virtual if device is None else _is_cuda(device)):
            raise DeviceError(f"{func.__name__} draws on the device, where numbers differ from the CPU's, at {_line()}")
        if device is None:
            return func(*args, **kwargs)
        there = _is_cuda(device)
        kwargs = kwargs | {"device": "cpu"} if there else kwargs  # else: the CPU, or meta, from which models are loaded
        if virtual:
            made = func(*tree_map_only(VirtualTensor, held, args), **kwargs)
            return _wrapped(made) if there else made
        made = func(*args, **kwargs)
        if there:
            _note(_made(func), func.__name__)
        return _wrapped(made) if there else made


@contextmanager
def _triton() -> Iterator[None]:
    """Triton's interpreter takes virtual tensors."""
    try:
        from triton.runtime.interpreter import GridExecutor
    except ImportError:
        yield
        return
    from gsd.backend import triton as ours
    from gsd.rasterizer import triton_cuda as splatting

    stock, block, tile, together = GridExecutor.__call__, ours.BLOCK, splatting.TILE, splatting.TOGETHER
    ours.BLOCK = 1 << 14  # the interpreter's cost is that of the programs
    splatting.TILE, splatting.TOGETHER = 32, 64

    def call(self: Any, *args: Any, **kwargs: Any) -> None:
        if not _book.current:
            raise DeviceError(f"{self.fn.__name__} runs on whatever GPU is the current one, at {_line()}")
        sides = {isinstance(x, VirtualTensor) for x in args if isinstance(x, Tensor)}
        if sides == {True, False}:
            raise DeviceError(
                f"Pointer argument cannot be accessed from Triton (cpu tensor?) in {self.fn.__name__} at {_line()}"
            )
        _note("kernel", f"triton {self.fn.__name__}")
        with _disable_current_modes():
            stock(self, *map(held, args), **kwargs)

    GridExecutor.__call__ = call
    try:
        yield
    finally:
        GridExecutor.__call__, ours.BLOCK, splatting.TILE, splatting.TOGETHER = stock, block, tile, together


@contextmanager
def _backward() -> Iterator[None]:
    """Python code of autograd functions sees virtual tensors on the way back, too."""
    from torch.autograd.function import BackwardCFunction

    stock = BackwardCFunction.apply

    def apply(self: Any, *args: Any) -> Any:
        with torch._C._EnableTorchFunction(), _Mode():
            return stock(self, *args)

    BackwardCFunction.apply = apply
    try:
        yield
    finally:
        BackwardCFunction.apply = stock


class _Positions(torch.autograd.Function):
    """Where gsplat's means2d hang in the graph."""

    @staticmethod
    def forward(ctx: Any, means: Tensor, views: int) -> Tensor:
        ctx.shape = means.shape
        return VirtualTensor(torch.zeros(views, len(means), 2))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _wrapped(torch.zeros(ctx.shape)), None


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, options: dict[str, Any], positions: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        from gsd.rasterizer import rasterize

        _note("kernel", "gsplat forward")
        with _disable_current_modes(), torch.enable_grad():
            ctx.leaves = [held(x).detach().requires_grad_() for x in tensors]
            *seven, background = ctx.leaves
            render, alpha, info = rasterize(*seven, background=background, backend="cpu", **options)
        ctx.render, ctx.alpha, ctx.positions = render, alpha, info["means2d"]
        shown = (render.detach(), alpha.detach(), info["radii"], info["depths"].detach())
        return tuple(map(VirtualTensor, shown))

    @staticmethod
    def backward(ctx: Any, of_render: Tensor, of_alpha: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        _note("kernel", "gsplat backward")
        with _disable_current_modes():
            given = [held(of_render), held(of_alpha)]
            found = torch.autograd.grad(
                [ctx.render, ctx.alpha], [ctx.positions, *ctx.leaves], given, retain_graph=True, allow_unused=True
            )
        return None, *(None if x is None else VirtualTensor(x) for x in found)


def _rasterization(
    means: Tensor, quats: Tensor, scales: Tensor, opacities: Tensor, colors: Tensor, viewmats: Tensor, Ks: Tensor,
    *, width: int, height: int, near_plane: float, far_plane: float, eps2d: float, packed: bool, backgrounds: Tensor,
    render_mode: str,
) -> tuple[Tensor, Tensor, dict[str, Any]]:  # fmt: skip
    """In place of `gsplat.rasterization`, whose kernels need a GPU: the CPU's rasteriser on the values held."""
    assert not packed
    assert render_mode == "RGB+ED"
    tensors = (means, quats, scales, opacities, colors, viewmats, Ks, backgrounds)
    if not all(isinstance(x, VirtualTensor) and x.dtype == torch.float32 for x in tensors):
        raise DeviceError(f"gsplat takes float32 CUDA tensors, at {_line()}")
    positions = _Positions.apply(means, len(viewmats))
    options = {"width": width, "height": height, "near_plane": near_plane, "far_plane": far_plane, "eps2d": eps2d}
    render, alpha, radii, depths = _Rasterize.apply(options, positions, *tensors)
    return render, alpha, {
        "means2d": positions, "radii": radii, "depths": depths, "width": width, "height": height, "n_cameras": len(Ks),
    }  # fmt: skip


@contextmanager
def _current(device: torch.device) -> Iterator[None]:
    """In place of `torch.cuda.device`."""
    _book.current.append(device)
    try:
        yield
    finally:
        _book.current.pop()


@contextmanager
def virtual_cuda() -> Iterator[Book]:
    """On this thread there is one CUDA device; yields what is booked on it."""
    replaced = (
        "is_available", "device_count", "synchronize", "_lazy_init", "get_device_properties", "max_memory_allocated",
        "reset_peak_memory_stats", "set_sync_debug_mode", "device",
    )  # fmt: skip
    stock = {name: getattr(torch.cuda, name) for name in replaced}
    overwrite = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    import gsplat

    from gsd.rasterizer import gsplat_cuda

    rasterization, gsplat.rasterization = gsplat.rasterization, _rasterization
    why_not, gsplat_cuda.why_not = gsplat_cuda.why_not, lambda: ""
    torch.cuda.is_available, torch.cuda.device_count = lambda: True, lambda: 1
    torch.cuda.synchronize = torch.cuda._lazy_init = lambda *_: None
    torch.cuda.device = _current
    torch.cuda.set_sync_debug_mode = lambda mode: setattr(_book, "warns", mode == "warn")
    torch.cuda.get_device_properties = lambda *_: SimpleNamespace(total_memory=80 * 2**30, name="virtual")
    torch.cuda.max_memory_allocated = lambda *_: PEAK
    torch.cuda.reset_peak_memory_stats = lambda *_: None
    _book.start_again()
    try:
        with _triton(), _backward(), _Mode():
            yield _book
    finally:
        gsplat.rasterization, gsplat_cuda.why_not = rasterization, why_not
        torch.__future__.set_overwrite_module_params_on_conversion(overwrite)
        for name, function in stock.items():
            setattr(torch.cuda, name, function)
