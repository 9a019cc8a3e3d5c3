"""Other languages: what is found of them with English endings alone, and with their own."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from search.engine import Document
from search.engines.embedded.analysis import ENGLISH, cut, folded, forms
from search.engines.embedded.keywords import KeywordIndex
from search.types import Language
from tests.unit.search.engines.test_embedded import scope_of

GERMAN = {
    "Eine Katze schläft auf dem Tisch": ["die Katzen auf den Tischen"],
    "Der Hund läuft am Strand entlang": ["Hunde am Strand"],
    "Leuchtturm an der Küste bei Sonnenuntergang": ["Leuchttürme an Küsten"],
    "Kinder spielen im Garten mit einem Ball": ["ein Kind im Garten"],
    "Frisches Brot und Käse auf einem Holzbrett": ["Brote und Käse auf dem Brett"],
    "Wanderer auf dem Gipfel eines Berges in den Alpen": ["die Berge der Alpen"],
    "Straßenbahn in der Altstadt bei Regen": ["eine Straßenbahn bei Regen in der Stadt"],
    "Bienen auf einer gelben Blume": ["eine Biene auf einer Blume", "gelbe Blumen"],
    "Ein Fischerboot im Hafen von Hamburg": ["Boote im Hafen", "im Hafen von Hamburg"],
    "Die Großmutter liest den Enkeln ein Buch vor": ["das Buch der Großmutter mit den Enkeln"],
}
FRENCH = {
    "Des chevaux au galop sur la plage": ["un cheval sur les plages"],
    "Un vieux journal sur un banc": ["les journaux"],
    "Enfants jouant dans le jardin": ["jouer au jardin", "un enfant joue"],
    "Le château illuminé la nuit": ["châteaux illuminés"],
    "Bateaux de pêche dans le port": ["un bateau de pêcheur", "le bateau"],
    "Une femme souriante lit un livre": ["des femmes qui sourient", "livres"],
    "Montagnes enneigées à l'aube": ["montagne enneigée"],
    "Les travaux de la gare": ["travail à la gare"],
    "Fleurs sauvages dans un champ": ["une fleur sauvage", "les champs"],
    "Cuisinier préparant des pâtes fraîches": ["préparer des pâtes", "cuisiniers"],
}
SPANISH = {
    "Niños jugando en la playa": ["un niño juega en las playas"],
    "Canciones de una orquesta en el teatro": ["canción", "los teatros"],
    "Un pez rojo entre corales": ["peces rojos"],
    "Mujeres trabajando en una fábrica": ["una mujer trabaja", "fábricas"],
    "La luz de la mañana sobre el puente": ["luces sobre los puentes"],
    "Estaciones de tren abandonadas": ["una estación abandonada"],
    "Flores amarillas en un jarrón": ["flor amarilla", "jarrones"],
    "El cocinero corta verduras frescas": ["cortar verdura", "cocineros"],
    "Barcos de pescadores al amanecer": ["un barco pescador"],
    "Ciudad iluminada de noche": ["ciudades iluminadas por las noches"],
}


def found(
    titles: Mapping[str, Sequence[str]], languages: tuple[Language, ...], directory: Path
) -> tuple[int, int, int]:
    """Of all queries: how many, how many put their title before all others, and how many wrong ones they find."""
    KeywordIndex.build([Document(n, title=title) for n, title in enumerate(titles)], directory, languages)
    index = KeywordIndex.load(directory)
    asked = right = wrong = 0
    for title, queries in enumerate(titles.values()):
        for query in queries:
            scores = {match.asset: match.score for match in index.search(scope_of(range(len(titles))), query, 10)}
            own = scores.pop(title, 0.0)
            asked += 1
            right += own > max(scores.values(), default=0.0)
            wrong += len(scores)
    return asked, right, wrong


@pytest.mark.parametrize(
    ("titles", "language", "by_english", "by_both"),
    [
        (GERMAN, Language.german, (12, 12, 1), (12, 12, 0)),
        (FRENCH, Language.french, (15, 11, 12), (15, 15, 0)),
        (SPANISH, Language.spanish, (14, 14, 5), (14, 14, 0)),
    ],
)
def test_a_language_that_is_set_is_found_better(
    tmp_path: Path,
    titles: Mapping[str, Sequence[str]],
    language: Language,
    by_english: tuple[int, int, int],
    by_both: tuple[int, int, int],
) -> None:
    assert found(titles, ENGLISH, tmp_path / "english") == by_english
    assert found(titles, (language, Language.english), tmp_path / "both") == by_both


@pytest.mark.parametrize("language", Language)
def test_every_language_has_a_stemmer(language: Language) -> None:
    assert all(form.startswith(f"{language.value}:") for form in forms("wort", (language,)))


@pytest.mark.parametrize(
    ("one", "other", "language"),
    [
        ("Häuser", "haus", Language.german),
        ("hauser", "Haus", Language.german),
        ("Straßen", "strasse", Language.german),
        ("mangée", "mange", Language.french),
        ("mangée", "mangé", Language.french),
        ("canciones", "cancion", Language.spanish),
        ("CAFÉ", "cafe", Language.english),
        ("cafe\u0301", "café", Language.english),
    ],
)
def test_words_are_the_same_with_accents_and_without(one: str, other: str, language: Language) -> None:
    (first,), (second,) = cut(one), cut(other)
    assert not set(forms(first, (language,))).isdisjoint(forms(second, (language,)))


def test_a_folded_word_stays_one_word() -> None:
    assert [folded(word) for word in cut("Straße ½ Ⅷ Æther")] == ["strasse", "½", "ⅷ", "aether"]
