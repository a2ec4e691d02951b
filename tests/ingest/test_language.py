from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.ingest.language import why_not_english
from pipeline.ingest.think_tags import split_thought
from pipeline.run.outcomes import Rejected

OTHER_LANGUAGES = {
    "german": "Also, wir müssen herausfinden, was die kleinste Zahl ist, die durch alle Zahlen von eins"
    " bis zehn teilbar ist. Zuerst zerlege ich jede Zahl in ihre Primfaktoren. So war das in "
    "der Schule, und man hat es immer so gemacht. Moment, ich muss noch prüfen, ob die acht "
    "dabei ist. Ja, weil zwei hoch drei acht ist.",
    "french": "Alors, nous devons trouver le plus petit nombre qui est divisible par tous les nombres "
    "de un à dix. On commence par décomposer chaque nombre en facteurs premiers. Attends, il "
    "faut vérifier que huit est bien un diviseur. Oui, parce que deux puissance trois est "
    "égal à huit. Donc la réponse est le produit.",
    "spanish": "Entonces, tenemos que encontrar el número más pequeño que es divisible por todos los "
    "números de uno a diez. Primero descompongo cada número en factores primos. Espera, hay "
    "que comprobar que ocho es un divisor. Sí, porque dos elevado a tres es ocho. Por lo "
    "tanto la respuesta es el producto de todos.",
    "dutch": "Dus we moeten het kleinste getal vinden dat deelbaar is door alle getallen van een tot "
    "tien. Eerst ontbind ik elk getal in priemfactoren. Wacht, ik moet nog controleren of "
    "acht een deler is. Ja, want twee tot de derde is acht. Dus het antwoord is het product "
    "van de hoogste machten van elk priemgetal hier.",
    "polish": "Więc musimy znaleźć najmniejszą liczbę, która jest podzielna przez wszystkie liczby od "
    "jednego do dziesięciu. Najpierw rozkładam każdą liczbę na czynniki pierwsze. Czekaj, "
    "trzeba to jeszcze sprawdzić, by nie było błędu. To jest ważne, bo to decyduje. Można to "
    "też zrobić inaczej, ale to jest dłuższa metoda.",
    "chinese": "首先，我们需要找到能被一到十的所有数整除的最小的数。",
    "russian": "Нам нужно найти наименьшее число, которое делится на все числа от одного до десяти.",
    "arabic": "نحتاج إلى إيجاد أصغر عدد يقبل القسمة على جميع الأعداد من واحد إلى عشرة.",
    "hindi": "हमें वह सबसे छोटी संख्या खोजनी है जो एक से दस तक सभी संख्याओं से विभाज्य हो।",
    "korean": "일부터 십까지의 모든 수로 나누어지는 가장 작은 수를 찾아야 합니다.",
    "japanese": "いちからじゅうまでのすべてのかずでわりきれるかずをさがします。",
}


def why_not(text: str) -> str | None:
    return why_not_english(text, text.encode())


@pytest.mark.parametrize("language", OTHER_LANGUAGES)
def test_another_language_is_noticed(language: str) -> None:
    assert why_not(OTHER_LANGUAGES[language] * 2)


@pytest.mark.parametrize("language", ["chinese", "russian"])
def test_another_script_between_formulas_is_noticed(language: str) -> None:
    formulas = r"\[ \sum_{n=1}^{10} \frac{1}{n^2} = x, \quad \alpha + \beta = 2 \]" * 2
    assert why_not(f"{formulas}\n{OTHER_LANGUAGES[language]}\n{formulas}")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Okay, so I need to find the sum. Let α + β = π ⇒ ∑ xᵢ ≤ ∞, and ℵ₀ is not in ℝ. Wait, check that."
        * 3,
        r"\[ \begin{aligned} f(x) &= \int_0^1 g(t)\,dt \\ &\to \infty \end{aligned} \]" * 40,
        "for i in range(n):\n    total += weights[i] * values[i]\nprint(total)\n" * 40,
        "The word 水 means water, so the count is 3, and that is what they ask. " * 5,
        "Zürich, Málaga, Łódź and São Paulo: which of these cities is the largest? Let me think. " * 5,
    ],
)
def test_english_mathematics_and_code_pass(text: str) -> None:
    assert why_not(text) is None


@pytest.mark.parametrize("name", ["real-traces", "unruly-traces"])
def test_no_real_english_trace_is_lost(name: str) -> None:
    path = Path(__file__).parents[3] / "shared" / "data" / f"{name}.parquet"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    for number, row in enumerate(pq.read_table(path).to_pylist(), start=1):
        thought = split_thought(row["conversations"][-1]["value"])
        assert not isinstance(thought, Rejected)
        assert why_not(thought.reasoning) is None, number
