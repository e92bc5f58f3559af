//! Logins in both processes, against the end of all their owner's sessions and against a limit.

use std::collections::BTreeSet;

use sessile::SessionId;

use super::pair::{ANY, delay, request};
use super::worker::{Answer, LIMIT, Limit, Request, Start, Task, Tokens, Wish, drawn_keys};
use super::{Dice, Ground};
use crate::engine::harness::Server;

const LOGINS: usize = 6;

async fn logins(
    server: &Server,
    dice: &mut Dice,
    owner: &str,
    starts: &[Start],
    limit: Limit,
    tokens: Tokens,
) -> Vec<(usize, Task)> {
    let mut tasks = Vec::new();
    for n in 0..LOGINS {
        let cookie = match n % 2 {
            0 => String::new(),
            _ => server.write("", "basket", "apple").await,
        };
        let (wishes, lists) = (vec![Wish::LogIn(owner.to_owned())], Some(owner.to_owned()));
        let login = Request { wishes, limit, tokens, lists, ..request(&cookie, dice, starts) };
        tasks.push((dice.below(2), Task::Request(login)));
    }
    tasks
}

/// What `owner` sees as the places they are signed in at.
async fn listed(server: &Server, owner: &str) -> BTreeSet<SessionId> {
    let page = server.sessions.list(owner, None, None).await.unwrap();
    page.devices.iter().map(|device| device.session.id).collect()
}

/// The sessions that these cookies open.
async fn live(server: &Server, cookies: impl Iterator<Item = &String>) -> BTreeSet<SessionId> {
    let mut live = BTreeSet::new();
    for cookie in cookies {
        live.extend(server.id(cookie).await);
    }
    live
}

fn cookies(answers: &[Answer]) -> impl Iterator<Item = &String> {
    answers.iter().filter_map(|answer| answer.cookie.as_ref())
}

/// R40: nobody is left of those who began to log in before, but the one who is to be spared; and a
/// session that moves meanwhile, because its key is drawn anew, is no way out either.
pub(crate) async fn no_login_elsewhere_escapes_the_end_of_all_sessions(place: &Ground) {
    let servers = [Server::new(&place.place), Server::with_keys(&place.place, drawn_keys())];
    let mut races = place.races("the end of all sessions");
    while let Some(mut dice) = races.next() {
        let which = dice.below(2);
        let (server, tokens) = (&servers[which], [Tokens::Ours, Tokens::Drawn][which]);
        let owner = format!("ann{}", races.seed);
        let here = server.signed_in(&owner).await;
        let except = server.id(&here).await.filter(|_| dice.below(2) == 0);
        let begun = [Start::Loaded, Start::Begun];
        let mut tasks = logins(server, &mut dice, &owner, &begun, Limit::None, tokens).await;
        for _ in 0..2 {
            let wishes = vec![Wish::Rotate];
            let rotation = Request { wishes, tokens, ..request(&here, &mut dice, &ANY) };
            tasks.push((dice.below(2), Task::Request(rotation)));
        }
        let (end, delay) = (owner.clone(), delay(&mut dice));
        tasks.push((dice.below(2), Task::EndAll { owner: end, except, delay, tokens }));
        let mut answers = races.pair.run(&tasks);
        assert_eq!(answers.pop().unwrap().failed, None);
        for answer in &answers {
            let failed = answer.failed.as_deref();
            assert!(failed.is_none() || failed == Some("Ended"), "{answer:?}");
        }
        let live = live(server, cookies(&answers).chain([&here])).await;
        assert_eq!(listed(server, &owner).await, live, "{tokens:?} {except:?}: {answers:?}");
        // The spared one may have moved, and then ended with the others, or moves after they did.
        let moved = answers[LOGINS..].iter().filter_map(|answer| answer.id);
        let may_stay: BTreeSet<_> = except.into_iter().chain(moved).collect();
        match (except, tokens) {
            (None, _) => assert!(live.is_empty(), "{tokens:?}: {answers:?}"),
            (Some(id), Tokens::Ours) => assert_eq!(live, BTreeSet::from([id]), "{answers:?}"),
            (Some(_), Tokens::Drawn) => {
                assert!(live.len() <= 1 && live.is_subset(&may_stay), "{answers:?}");
            }
        }
    }
}

/// R41: who has logged in finds the own session in the list, and no more are left than may be.
pub(crate) async fn logins_elsewhere_are_listed_and_held_to_their_limit(place: &Ground) {
    let server = Server::new(&place.place);
    let mut races = place.races("logins with a limit");
    while let Some(mut dice) = races.next() {
        let owner = format!("ann{}", races.seed);
        let here = server.signed_in(&owner).await;
        let limit = dice.one_of(&[Limit::None, Limit::EndsOldest, Limit::RefusesNew]);
        let tasks = logins(&server, &mut dice, &owner, &ANY, limit, Tokens::Ours).await;
        let answers = races.pair.run(&tasks);
        let live = live(&server, cookies(&answers).chain([&here])).await;
        assert_eq!(listed(&server, &owner).await, live, "{answers:?}");
        for login in &answers {
            let listed = login.id.is_some_and(|id| login.listed.contains(&id));
            match (login.failed.as_deref(), limit) {
                (None, Limit::EndsOldest) => {}
                (None, _) => assert!(listed, "{login:?}"),
                (failed, Limit::RefusesNew) => assert_eq!(failed, Some("OwnerLimit"), "{login:?}"),
                _ => panic!("{login:?}"),
            }
        }
        let left = match limit {
            Limit::None => LOGINS + 1..=LOGINS + 1,
            Limit::EndsOldest => LIMIT..=LIMIT,
            // Those who came at once may see each other, and both go.
            Limit::RefusesNew => 1..=LIMIT,
        };
        assert!(left.contains(&live.len()), "{} {limit:?}: {answers:?}", live.len());
    }
}
