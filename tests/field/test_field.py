import pytest
import torch

from gsd.field.field import RadianceField, Shape

SHAPE = {
    "bound": 1.0, "levels": 4, "features": 2, "log2_table": 10, "base_resolution": 4, "growth": 1.5, "hidden": 16,
    "layers": 1, "activation": "softplus", "blob": "magic3d", "blob_density": 10.0, "blob_radius": 0.5,
}  # fmt: skip


def field(**options):
    made = RadianceField(Shape(**(SHAPE | options)), torch.Generator().manual_seed(0))
    torch.nn.init.uniform_(made.grid.table, -0.5, 0.5, generator=torch.Generator().manual_seed(1))
    return made


def points(count=400, radius=0.9):
    return radius * torch.randn(3, count, generator=torch.Generator().manual_seed(2)).renorm(2, 1, 1.0)


@pytest.mark.parametrize(("blob", "centre", "edge"), [("magic3d", 10, 0), ("dreamfusion", 10, 10 * 0.60653)])
def test_the_blob(blob, centre, edge):
    made = field(blob=blob)
    assert torch.allclose(made.blob(torch.zeros(3, 1)), torch.tensor(float(centre)), atol=1e-4)
    on_the_edge = made.blob(torch.tensor([[0.0], [0.3], [0.4]]))
    assert torch.allclose(on_the_edge, torch.tensor(float(edge)), atol=1e-4)
    assert (field(blob="none").blob(points()) == 0).all()


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("blob", ["magic3d", "dreamfusion", "none"])
def test_normals_point_against_the_gradient(layers, blob):
    """Compared with central differences of the density in double precision, a thousandth of a cell wide."""
    made, xyz = field(layers=layers, blob=blob), points()
    ours = made.normals(xyz).detach()
    made, xyz = made.double(), xyz.double()
    eps = 2e-3 / made.grid.levels[-1].scale

    def density(p):
        features = made.encode(p)
        return made.density(p, features).detach()

    slope = torch.stack(
        [density(xyz + eps * e[:, None]) - density(xyz - eps * e[:, None]) for e in torch.eye(3).double()]
    )
    expected = -slope / slope.norm(dim=0)
    agree = (ours * expected).sum(0)
    assert torch.allclose(ours.norm(dim=0), torch.ones(400), atol=1e-5)
    assert agree.median() > 0.99999
    assert (agree > 0.999).float().mean() > 0.97  # the rest has a kink of the grid or the network within eps


def test_normals_teach_the_field():
    """Against the derivative of the same in double precision, where everything is plain torch."""
    made, xyz = field(), points(50)
    towards = torch.randn(3, 50, generator=torch.Generator().manual_seed(3))
    weights = [made.grid.table, *made.density_net.weights]
    ours = torch.autograd.grad((made.normals(xyz) * towards).sum(), weights)
    made = made.double()
    made.density_net.forward = made.density_net.plain
    weights = [made.grid.table, *made.density_net.weights]
    expected = torch.autograd.grad((made.normals(xyz.double()) * towards).sum(), weights)
    for one, other in zip(ours, expected, strict=True):
        assert (one - other).norm() < 2e-3 * other.norm()
        assert other.norm() > 0


def test_trunc_exp_has_no_exploding_derivative():
    made = field(activation="trunc_exp", blob="none")
    raw = torch.tensor([-3.0, 2.0, 20.0], requires_grad=True)
    made.density_net.forward = lambda features: features
    out = made.density(torch.zeros(3, 3), raw[None])
    assert torch.allclose(out, raw.exp())
    out.sum().backward()
    assert torch.allclose(raw.grad, torch.tensor([-3.0, 2.0, 15.0]).exp())


def test_colours_are_colours():
    rgb = field().color(field().encode(points()))
    assert ((rgb > 0) & (rgb < 1)).all()
    assert rgb.std() > 0.01
