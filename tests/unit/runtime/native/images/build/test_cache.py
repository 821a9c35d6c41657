from bayplan.runtime.native.images.build.cache import Cache, Made

ONE, TWO = Made("sha256:c1", "sha256:d1", "sha256:b1", 1), Made("sha256:c2")


def test_results_survive_and_go_with_the_last_image_that_used_them(tmp_path):
    cache = Cache(tmp_path)
    assert cache.get("k1") is None
    cache.put("a", "k1", ONE)
    cache.put("a", "k2", TWO)
    cache.put("b", "k1", ONE)
    assert Cache(tmp_path).get("k1") == ONE
    cache.finish("a", ["k1"])
    assert cache.get("k2") is None
    assert list(cache.kept()) == [ONE]
    cache.finish("a", [])
    assert cache.get("k1") == ONE
    cache.finish("b", [])
    assert list(cache.kept()) == []


def test_a_result_that_cannot_be_read_is_a_miss(tmp_path):
    cache = Cache(tmp_path)
    cache.put("a", "k", ONE)
    (tmp_path / "keys/k").write_text("{")
    assert cache.get("k") is None
    assert list(cache.kept()) == []
