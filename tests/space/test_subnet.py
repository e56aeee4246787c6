"""The value `Subnet`: text form and JSON, both ways."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofa_mcu.errors import UsageError
from ofa_mcu.space.subnet import BlockChoice, Subnet

blocks = st.builds(BlockChoice, kernel=st.integers(1, 99), expand=st.integers(1, 99))
subnets = st.builds(
    Subnet,
    resolution=st.integers(1, 1024),
    width=st.floats(0.001, 1000.0),
    stages=st.lists(st.lists(blocks, min_size=1, max_size=4).map(tuple), min_size=1, max_size=4).map(tuple),
)


@given(subnets)
def test_text_and_json_give_the_same_subnet_back(subnet: Subnet) -> None:
    assert Subnet.parse(str(subnet)) == subnet
    back = Subnet.from_json(json.loads(json.dumps(subnet.to_json())))
    assert back == subnet and hash(back) == hash(subnet) and str(back) == str(subnet)


@given(subnets, subnets)
def test_different_subnets_have_different_texts(first: Subnet, second: Subnet) -> None:
    assert (str(first) == str(second)) == (first == second)


def test_the_text_form_reads_as_documented() -> None:
    subnet = Subnet(28, 0.75, ((BlockChoice(3, 4), BlockChoice(5, 2)), (BlockChoice(3, 3),)))
    assert str(subnet) == "r28-w0.75-k3e4.k5e2-k3e3"
    assert str(Subnet(20, 1.0, subnet.stages)) == "r20-w1-k3e4.k5e2-k3e3"
    assert Subnet.parse(" r20-w1.0-k3e4.k5e2-k3e3\n") == Subnet(20, 1.0, subnet.stages)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "'' is no subnet"),
        ("r28-w1", "is no subnet"),
        ("r28-w-k3e4", "is no subnet"),
        ("28-w1-k3e4", "is no subnet"),
        ("r28-w1-k3e4-", "stage '' of subnet"),
        ("r28-w1-k3e4.-k3e4", "stage 'k3e4.' of subnet"),
        ("r28-w1-k3e4-k5", "stage 'k5' of subnet"),
        ("r28-w1-k3e4x", "stage 'k3e4x' of subnet"),
    ],
)
def test_refuses_other_texts_in_one_sentence(text: str, complaint: str) -> None:
    with pytest.raises(UsageError) as caught:
        Subnet.parse(text)
    assert complaint in str(caught.value) and "\n" not in str(caught.value)
