//! Counts, read out of what tests and programs print. Pure.

use std::collections::{BTreeMap, BTreeSet};

/// The laws that each store runs, out of the list of all tests.
pub(super) fn laws(list: &str) -> Result<String, String> {
    let tests: Vec<(&str, &str)> = list
        .lines()
        .filter_map(|line| line.trim().strip_suffix(": test")?.rsplit_once("::"))
        .collect();
    let of_memory = tests.iter().filter(|(place, _)| *place == "stores::memory");
    let laws: BTreeSet<&str> = of_memory.map(|(_, law)| *law).collect();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for (place, _) in tests.iter().filter(|(_, test)| laws.contains(test)) {
        *places.entry(place).or_default() += 1;
    }
    // Here and there another test bears the name of a law.
    places.retain(|_, count| *count * 2 > laws.len());
    if places.is_empty() {
        return Err("no store runs laws: has the module `stores::memory` moved?".into());
    }
    let all: usize = places.values().sum();
    let each: Vec<_> =
        places.iter().map(|(place, count)| format!("{} {count}", store(place))).collect();
    Ok(format!("{} x {} = {all} ({})", laws.len(), places.len(), each.join(", ")))
}

/// `redis::laws::cluster` is the store "redis cluster", `sql::laws::mysql` is "mysql".
fn store(place: &str) -> String {
    let words = place.split("::").filter(|word| !matches!(*word, "stores" | "laws" | "sql"));
    words.collect::<Vec<_>>().join(" ")
}

/// How many assertions of the historic designs are answered by a test.
pub(super) fn seeds(printed: &str) -> Result<String, String> {
    let answers = answers(printed, "seeds.md: ")?;
    let of = |word: &str| answers.get(word).copied().unwrap_or_default();
    let (covered, all) = (of("kept") + of("changed"), answers.values().sum::<u64>());
    Ok(format!("{covered} of {all} covered ({})", each(&answers)))
}

/// How many requirements are kept, and how many are open.
pub(super) fn requirements(printed: &str) -> Result<String, String> {
    let answers = answers(printed, "threat_model.md: ")?;
    let all = answers.values().sum::<u64>();
    let kept = answers.get("kept").copied().unwrap_or_default();
    Ok(format!("{kept} of {all} kept ({})", each(&answers)))
}

/// The counts of a line like `seeds.md: {"kept, by a law": 5, "open": 1}`, by the answer's first
/// words.
fn answers(printed: &str, name: &str) -> Result<BTreeMap<String, u64>, String> {
    let rest = after(printed, name).ok_or_else(|| format!("nobody printed {name:?}"))?;
    let mut answers = BTreeMap::new();
    for pair in rest.trim_matches(['{', '}']).split(", \"") {
        let (answer, count) = pair.split_once("\": ").ok_or_else(|| format!("no count: {pair}"))?;
        let answer = answer.trim_start_matches('"').split(',').next().unwrap_or_default();
        let count: u64 = count.parse().map_err(|_| format!("no number: {pair}"))?;
        *answers.entry(answer.to_owned()).or_default() += count;
    }
    Ok(answers)
}

fn each(answers: &BTreeMap<String, u64>) -> String {
    let each: Vec<_> = answers.iter().map(|(answer, count)| format!("{answer} {count}")).collect();
    each.join(", ")
}

/// What the enumeration of crashes prints as its total.
pub(super) fn crash_states(printed: &str) -> Result<String, String> {
    let total = after(printed, "crash: total ").ok_or("nobody printed \"crash: total\"")?;
    Ok(total.to_owned())
}

/// The states of all models: their lines read `model NAME: N states`.
pub(super) fn model_states(printed: &str) -> String {
    let counts: Vec<u64> = printed.lines().filter_map(states).collect();
    match counts.len() {
        0 => "no models here".into(),
        models => format!("{} in {models} models", counts.iter().sum::<u64>()),
    }
}

fn states(line: &str) -> Option<u64> {
    let (_, rest) = line.split_once("model ")?;
    let (_, count) = rest.rsplit_once(": ")?;
    count.strip_suffix(" states")?.replace(',', "").parse().ok()
}

/// The total of the faults' table, and what was skipped.
pub(super) fn faults(printed: &str) -> Result<String, String> {
    let total = printed.lines().find(|line| line.starts_with("total "));
    let total = total.ok_or("the faults printed no total")?;
    let numbers: Vec<&str> = total.split_whitespace().skip(1).collect();
    let [injected, checks, violations] = numbers[..] else {
        return Err(format!("this is no total: {total}"));
    };
    let is_left_out = |line: &&str| line.starts_with("skipped: ") || line.starts_with("missing: ");
    let left_out: Vec<_> = printed.lines().filter(is_left_out).collect();
    let without =
        if left_out.is_empty() { String::new() } else { format!("; {}", left_out.join("; ")) };
    Ok(format!("{injected}, then {checks} checks, {violations} violations{without}"))
}

/// All results of cargo-mutants: `450 mutants tested in 2h: 3 missed, 420 caught, 27 unviable`.
pub(super) fn mutants(text: &str) -> Result<String, String> {
    let results = || text.lines().filter(|line| line.contains("mutants tested"));
    let sum = |what| results().filter_map(|line| number_before(line, what)).sum::<u64>();
    let (caught, missed) = (sum(" caught") + sum(" timeout"), sum(" missed"));
    if caught == 0 {
        return Err("nobody says how many \"mutants tested\" were caught".into());
    }
    Ok(format!("{caught} of {} ({missed} missed)", caught + missed))
}

fn number_before(line: &str, what: &str) -> Option<u64> {
    let (before, _) = line.split_once(what)?;
    before.rsplit([' ', ',', ':']).next()?.parse().ok()
}

/// The first date in a text, as `2026-11-20`.
pub(super) fn date(text: &str) -> Result<&str, String> {
    let is_date = |word: &&str| {
        let parts: Vec<_> = word.split('-').map(str::len).collect();
        parts == [4, 2, 2] && word.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit())
    };
    let mut words = text.split(|c: char| !(c == '-' || c.is_ascii_alphanumeric()));
    words.find(is_date).ok_or_else(|| "the last result bears no date".into())
}

/// The command in a page's code that runs the mutants, without its comment.
pub(super) fn mutants_command(page: &str) -> Option<String> {
    let line = page.lines().map(str::trim).find(|line| line.starts_with("cargo mutants"))?;
    Some(line.split('#').next().unwrap_or(line).trim().to_owned())
}

/// What follows these words in the line that has them. Before them the test's name may stand.
fn after<'a>(printed: &'a str, words: &str) -> Option<&'a str> {
    printed.lines().find_map(|line| line.split_once(words)).map(|(_, rest)| rest.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn laws_are_counted_for_every_store_that_runs_them() {
        let list = "stores::memory::create_never_replaces: test\nstores::memory::b: test\n\
                    stores::memory::c: test\nredis::laws::cluster::create_never_replaces: test\n\
                    redis::laws::cluster::b: test\nredis::laws::cluster::c: test\n\
                    file_store::contract::b: test\nother::d: test\n4 tests, 0 benchmarks\n";
        assert_eq!(laws(list).unwrap(), "3 x 2 = 6 (redis cluster 3, memory 3)");
        assert!(laws("other::d: test").is_err());
    }

    #[test]
    fn answers_are_added_up_by_their_first_words() {
        let printed = "test documents::a ... seeds.md: {\"changed, by a law\": 2, \
                       \"kept, by a law\": 5, \"kept, own test\": 7, \"open\": 1}\nok\n\
                       threat_model.md: {\"kept, own test\": 3, \"open\": 2}\n";
        assert_eq!(seeds(printed).unwrap(), "14 of 15 covered (changed 2, kept 12, open 1)");
        assert_eq!(requirements(printed).unwrap(), "3 of 5 kept (kept 3, open 2)");
        assert!(seeds("").is_err());
    }

    #[test]
    fn states_of_crashes_and_models_are_found_wherever_a_tests_name_stands_before_them() {
        let printed = "test a ... crash: create 5 states (5 exhaustive, 0 sampled)\n\
                       crash: total 12 states (10 exhaustive, 2 sampled)\n\
                       test b ... model login: 591 states\nmodel tail: 18728 states\n\
                       model wiped slots fails, as it must:\n";
        assert_eq!(crash_states(printed).unwrap(), "12 states (10 exhaustive, 2 sampled)");
        assert!(crash_states("crash: create 5 states").is_err());
        assert_eq!(model_states(printed), "19319 in 2 models");
        assert_eq!(model_states("running 0 tests"), "no models here");
    }

    #[test]
    fn faults_are_told_with_what_was_left_out() {
        let printed = "update   1  2  0\ntotal     474     19165          0\n\
                       skipped: power: only root may mount\nfaults: 19 passed";
        let told = "474, then 19165 checks, 0 violations; skipped: power: only root may mount";
        assert_eq!(faults(printed).unwrap(), told);
        assert!(faults("faults: 0 passed").is_err());
    }

    #[test]
    fn mutants_are_added_up_from_the_lines_that_their_tool_prints() {
        let page = "Last run: 2026-11-20.\n\n450 mutants tested in 2h: 3 missed, 420 caught, \
                    25 unviable, 2 timeouts\n";
        assert_eq!(mutants(page).unwrap(), "422 of 425 (3 missed)");
        let both = format!("{page}10 mutants tested: 1 missed, 9 caught\n");
        assert_eq!(mutants(&both).unwrap(), "431 of 435 (4 missed)");
        assert_eq!(date(page).unwrap(), "2026-11-20");
        assert!(mutants("nothing").is_err() && date("20-11-2026").is_err());
    }

    #[test]
    fn the_mutants_command_is_taken_from_the_page() {
        let page = "```sh\ncargo test\ncargo mutants --jobs 2   # for hours\n```\n";
        assert_eq!(mutants_command(page).unwrap(), "cargo mutants --jobs 2");
        assert_eq!(mutants_command("cargo test"), None);
    }
}
