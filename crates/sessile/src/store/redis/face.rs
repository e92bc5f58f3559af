//! The contract of stores, on top of the steps.

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;

use super::lock::{Lock, Opened};
use super::{RedisStore, Shared};
use crate::error::Result;
use crate::record::{Owner, Record, Version};
use crate::store::{
    Access, Created, Durability, Expired, Loaded, Page, Scope, Store, Ticket, Updated,
};
use crate::token::SessionId;

impl RedisStore {
    fn steps(&self) -> &Arc<Shared> {
        self.shared.check_behind();
        &self.shared
    }
}

#[async_trait]
impl Store for RedisStore {
    fn namespace(&self) -> &str {
        &self.shared.namespace
    }

    async fn create(&self, record: &Record, durability: Durability) -> Result<Created> {
        self.steps().create(record, durability).await
    }

    async fn load(&self, id: SessionId, now: SystemTime, access: Access) -> Result<Option<Loaded>> {
        if let Access::Exclusive { wait, hold } = access {
            return Lock::load(self.steps(), id, now, (wait, hold)).await;
        }
        let record = self.steps().read(id, now).await?;
        Ok(record.map(|record| {
            let ticket = Opened::ticket(&record, None);
            Loaded { record, ticket }
        }))
    }

    async fn update(
        &self,
        record: &Record,
        expected: Version,
        durability: Durability,
        ticket: &mut Ticket,
    ) -> Result<Updated> {
        self.steps().update(record, expected, durability, ticket.get_mut()).await
    }

    async fn touch(
        &self,
        id: SessionId,
        used_at: SystemTime,
        _: SystemTime,
        _: &mut Ticket,
    ) -> Result<bool> {
        self.steps().touch(id, used_at).await
    }

    async fn delete(&self, id: SessionId, durability: Durability) -> Result<bool> {
        self.steps().delete(id, durability).await
    }

    async fn delete_owner(
        &self,
        owner: &Owner,
        except: Option<SessionId>,
        not_before: SystemTime,
        _: Durability,
    ) -> Result<u64> {
        self.steps().delete_owner(owner, except, not_before).await
    }

    async fn delete_expired(&self, now: SystemTime, limit: usize) -> Result<Expired> {
        self.steps().delete_expired(now, limit).await
    }

    async fn list(
        &self,
        scope: Scope<'_>,
        now: SystemTime,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Page> {
        match scope {
            Scope::All => self.steps().list_all(now, after, limit).await,
            Scope::Owner(owner) => self.steps().list_owner(owner, now, after, limit).await,
        }
    }

    async fn release(&self, mut ticket: Ticket) -> Result<()> {
        match ticket.take::<Opened>() {
            Some(opened) => opened.release().await,
            None => Ok(()),
        }
    }
}
