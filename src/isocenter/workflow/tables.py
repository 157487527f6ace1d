"""The tables of the departmental workflow, gathered: each area declares its own.

What a rebuild of the index finds in the store is not here: these are no copy of it, and no rebuild drops them.
"""

from isocenter.workflow.documents.tables import document
from isocenter.workflow.messages.tables import hl7_message, hl7_outgoing
from isocenter.workflow.notices.tables import completeness, notice, notice_received, study_timer
from isocenter.workflow.orders.tables import order_hold, order_number
from isocenter.workflow.patients.tables import patient_event, registered_link, registered_patient, registered_visit
from isocenter.workflow.reconciling.tables import held_instance, held_study
from isocenter.workflow.steps.tables import step, step_delivery, step_item, step_message, step_series
from isocenter.workflow.workitems.tables import (
    workitem,
    workitem_channel,
    workitem_event,
    workitem_subscription,
    workitem_watch,
)
from isocenter.workflow.worklist.tables import worklist_item, worklist_station

__all__ = [
    "completeness",
    "document",
    "held_instance",
    "held_study",
    "hl7_message",
    "hl7_outgoing",
    "notice",
    "notice_received",
    "order_hold",
    "order_number",
    "patient_event",
    "registered_link",
    "registered_patient",
    "registered_visit",
    "step",
    "step_delivery",
    "step_item",
    "step_message",
    "step_series",
    "study_timer",
    "workitem",
    "workitem_channel",
    "workitem_event",
    "workitem_subscription",
    "workitem_watch",
    "worklist_item",
    "worklist_station",
]
