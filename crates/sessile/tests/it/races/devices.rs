//! Logins in both processes, against the end of all their owner's sessions and against a limit.

use std::collections::BTreeSet;

use sessile::SessionId;

use super::pair::{ANY, delay, request};
use super::worker::{Answer, LIMIT, Limit, Request, Start, Task, Wish};
use super::{Dice, Ground};
use crate::engine::harness::Server;

const LOGINS: usize = 6;

async fn logins(
    server: &Server,
    dice: &mut Dice,
    owner: &str,
    starts: &[Start],
    limit: Limit,
) -> Vec<(usize, Task)> {
    let mut tasks = Vec::new();
    for n in 0..LOGINS {
        let cookie = match n % 2 {
            0 => String::new(),
            _ => server.write("", "basket", "apple").await,
        };
        let (wishes, lists) = (vec![Wish::LogIn(owner.to_owned())], Some(owner.to_owned()));
        let login = Request { wishes, limit, lists, ..request(&cookie, dice, starts) };
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

/// R40: nobody is left of those who began to log in before, but the one who is to be spared.
pub(crate) async fn no_login_elsewhere_escapes_the_end_of_all_sessions(place: &Ground) {
    let server = Server::new(&place.place);
    let mut races = place.races("the end of all sessions");
    while let Some(mut dice) = races.next() {
        let owner = format!("ann{}", races.seed);
        let here = server.signed_in(&owner).await;
        let except = server.id(&here).await.filter(|_| dice.below(2) == 0);
        let begun = [Start::Loaded, Start::Begun];
        let mut tasks = logins(&server, &mut dice, &owner, &begun, Limit::None).await;
        let end = Task::EndAll { owner: owner.clone(), except, delay: delay(&mut dice) };
        tasks.push((dice.below(2), end));
        let mut answers = races.pair.run(&tasks);
        assert_eq!(answers.pop().unwrap().failed, None);
        for login in &answers {
            let failed = login.failed.as_deref();
            assert!(failed.is_none() || failed == Some("Ended"), "{login:?}");
            assert_eq!(login.cookie.is_some(), failed.is_none(), "{login:?}");
        }
        let left = except.into_iter().collect::<BTreeSet<_>>();
        assert_eq!(live(&server, cookies(&answers).chain([&here])).await, left, "{answers:?}");
        assert_eq!(listed(&server, &owner).await, left, "{answers:?}");
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
        let tasks = logins(&server, &mut dice, &owner, &ANY, limit).await;
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
