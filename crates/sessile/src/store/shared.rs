//! A shared store is a store.

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;

use super::{Access, Created, Durability, Expired, Loaded, Page, Scope, Store, Ticket, Updated};
use crate::error::Result;
use crate::record::{Owner, Record, Version};
use crate::token::SessionId;

#[async_trait]
impl<S: Store + ?Sized> Store for Arc<S> {
    fn namespace(&self) -> &str {
        (**self).namespace()
    }

    async fn create(&self, record: &Record, durability: Durability) -> Result<Created> {
        (**self).create(record, durability).await
    }

    async fn load(&self, id: SessionId, now: SystemTime, access: Access) -> Result<Option<Loaded>> {
        (**self).load(id, now, access).await
    }

    async fn update(
        &self,
        record: &Record,
        expected: Version,
        durability: Durability,
        ticket: &mut Ticket,
    ) -> Result<Updated> {
        (**self).update(record, expected, durability, ticket).await
    }

    async fn touch(
        &self,
        id: SessionId,
        used_at: SystemTime,
        idle_deadline: SystemTime,
        ticket: &mut Ticket,
    ) -> Result<bool> {
        (**self).touch(id, used_at, idle_deadline, ticket).await
    }

    async fn delete(&self, id: SessionId, durability: Durability) -> Result<bool> {
        (**self).delete(id, durability).await
    }

    async fn delete_owner(
        &self,
        owner: &Owner,
        except: Option<SessionId>,
        not_before: SystemTime,
        durability: Durability,
    ) -> Result<u64> {
        (**self).delete_owner(owner, except, not_before, durability).await
    }

    async fn delete_expired(&self, now: SystemTime, limit: usize) -> Result<Expired> {
        (**self).delete_expired(now, limit).await
    }

    async fn list(
        &self,
        scope: Scope<'_>,
        now: SystemTime,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Page> {
        (**self).list(scope, now, after, limit).await
    }

    async fn release(&self, ticket: Ticket) -> Result<()> {
        (**self).release(ticket).await
    }
}
